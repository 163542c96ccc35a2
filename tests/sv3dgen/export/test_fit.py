"""What is said of a mesh that does not show what its views show."""

from pathlib import Path

import torch

from sv3dgen.export.fit import Fit, failure, fit_of_glb
from sv3dgen.materials.constant import Constant
from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin

LIGHT = Constant().light()
CUBE = [[x, y, z] for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)]
SIDES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def box(folder: Path, sides: int) -> Path:
    """A gray cube, or the first of its sides."""
    faces = [face for a, b, c, d in SIDES[:sides] for face in ((a, b, c), (a, c, d))]
    lines = [f"v {x} {y} {z}" for x, y, z in CUBE] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in faces]
    obj = folder / f"{sides}.obj"
    obj.write_text("\n".join(lines))
    return obj


def fit(path: Path, truth: Path, trust: tuple[float, ...] | None = None) -> Fit:
    cameras = look_at_origin(torch.zeros(4), torch.tensor([0.0, 90.0, 180.0, 270.0]), distance=2.0, size_px=48)
    views = render_textured(read_mesh(truth), cameras)
    return fit_of_glb(path, LIGHT, cameras, views[:, :3], views[:, 3:], trust)


def test_a_mesh_fits_its_own_views(tmp_path: Path) -> None:
    cube = box(tmp_path, 6)
    found = fit(cube, cube)
    assert found.mask_iou.min() == 1 and found.psnr.min() > 30
    assert failure(found, ("a", "b", "c", "d"), [True] * 4) is None


def test_views_of_parts_that_the_mesh_lacks_are_named(tmp_path: Path) -> None:
    found = fit(box(tmp_path, 1), box(tmp_path, 6))  # only the side at -x, which the last view sees
    names = ("a.png", "b.png", "c.png", "d.png")
    line = failure(found, names, [True] * 4)
    assert line is not None and line.startswith("views 0 to 2 show parts that the mesh lacks, up to 88% of the object")
    card = found.card(names)
    assert card["worst_view"] in names and tuple(one["name"] for one in card["per_view"]) == names
    assert card["per_view"][0]["missing"] > 0.5
    assert len(found.card(("a.png",) * 4)["per_view"]) == 4  # of folders apart


def test_views_that_are_not_asked_are_not_told_of(tmp_path: Path) -> None:
    found = fit(box(tmp_path, 1), box(tmp_path, 6))
    assert failure(found, ("a", "b", "c", "d"), [False] * 4) is None


def test_views_that_were_not_fitted_count_in_no_mean(tmp_path: Path) -> None:
    every = fit(box(tmp_path, 1), box(tmp_path, 6))
    some = fit(box(tmp_path, 1), box(tmp_path, 6), (0.0, 0.5, 0.0, 0.0))
    assert every.worst == 0 and some.worst == 1 and some.card("abcd")["worst_view"] == "b"
    assert some.mean(some.psnr) == float(every.psnr[1]) and some.mean(some.missing) != every.mean(every.missing)
    assert some.card("abcd")["psnr"] == round(float(every.psnr[1]), 3) and len(some.card("abcd")["per_view"]) == 4


def test_runs_of_views_are_told_by_their_ends() -> None:
    missing = torch.tensor([0, 0.2, 0.3, 0.1, 0, 0.2, 0])
    good = torch.ones(7)
    said = failure(Fit(good, 40 * good, missing, 0 * good, 0, torch.ones(3, 2, 2)), tuple("abcdefg"), [True] * 7)
    assert said == "views 1 to 3, 5 show parts that the mesh lacks, up to 30% of the object in c"
