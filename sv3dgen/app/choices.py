"""What the page lets one choose, in words, and the settings that it stands for."""

from collections.abc import Sequence
from pathlib import Path

from sv3dgen.cli.device_names import may_have_gpu
from sv3dgen.cli.extras import is_installed
from sv3dgen.cli.resume import in_quotes
from sv3dgen.errors import InputError

QUALITY = {
    "A first look": "draft",
    "Good: some minutes without a GPU": "cpu",
    "Best: with a CUDA GPU": "gpu",
}
UNSEEN = {
    "Decide by what the views prove": "auto",
    "Fill it": "solid",
    "Leave openings open": "open",
}
FORMATS = {
    "OBJ": "obj",
    "PLY, a color a vertex": "ply",
    "STL, to print": "stl",
    "3MF, to print": "3mf",
    "USDZ, for phones": "usdz",
}


def qualities() -> list[str]:
    """The qualities that this machine can do."""
    return [words for words, preset in QUALITY.items() if preset != "gpu" or may_have_gpu()]


def settings_of(
    quality: str,
    *,
    relightable: bool = False,
    unseen: str = "Decide by what the views prove",
    formats: Sequence[str] = (),
    size_mm: float | int | None = None,
    seed: float | int | None = 0,
) -> list[str]:
    """The settings of any run. Raises InputError for what the page does not offer."""
    wanted = ",".join(dict.fromkeys(["glb", *(_chosen(FORMATS, one) for one in formats)]))
    settings = [f"preset={_chosen(QUALITY, quality)}", f"coarse.unseen={_chosen(UNSEEN, unseen)}"]
    settings += [f"export.formats=[{wanted}]", f"seed={_whole('seed', 0 if seed is None else seed)}"]
    settings += [f"material={'sg' if relightable else 'constant'}"]
    return settings + ([] if size_mm is None else [f"export.size_mm={float(size_mm)}"])


def photo_settings(elevation_deg: float | int | None, weights: Path | None) -> list[str]:
    """Those of a run on a photo; an empty elevation is estimated."""
    told = "auto" if elevation_deg is None else float(elevation_deg)
    return [f"elevation_deg={told}", *([] if weights is None else [f"weights={in_quotes(weights.absolute())}"])]


def film_settings(elevation_deg: float | int | None, fov_deg: float | int | None, clockwise: bool) -> list[str]:
    """Those of a run on a film around the object, at one height."""
    told = "auto" if elevation_deg is None else float(elevation_deg)
    fov = [] if fov_deg is None else [f"fov_deg={float(fov_deg)}"]
    return ["orbit=static", f"elevation_deg={told}", f"clockwise={str(bool(clockwise)).lower()}", *fov]


def live_settings() -> list[str]:
    """Those that give a run its live view, where that extra is installed."""
    return ["viewer=true", "viewer_port=0"] if is_installed("viser") else []


def licence_note(weights: Path | None) -> str:
    """Under which licence the weights stand that turn a photo into views."""
    if weights is None:
        return (
            "Views of a photo are made by SV3D-tiny, the small demonstration model of this project (Apache-2.0): "
            "expect a lump of about the right shape. SV3D itself is taken with `python -m sv3dgen.app --weights FILE`."
        )
    return (
        f"Views of a photo are made with `{weights.name}`. SV3D's weights stand under Stability AI's licence, for "
        "non-commercial use; it does not allow hosting them for others. This page is for you alone."
    )


def _chosen(table: dict[str, str], words: str) -> str:
    if words not in table:
        raise InputError(f"{words}: expected one of {', '.join(table)}")
    return table[words]


def _whole(name: str, value: float | int) -> int:
    if value != int(value):
        raise InputError(f"{name}={value}: expected a whole number")
    return int(value)
