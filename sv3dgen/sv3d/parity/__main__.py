"""Compare this package with numbers that the official code gave: `python -m sv3dgen.sv3d.parity FOLDER`.

FOLDER holds `config.json` (all sizes), `model.safetensors` in the official layout and `io.safetensors`. For every
expected tensor it prints the largest error next to its tolerance. Exit status: 0, 1 where an error is above, 2 where
the folder is no good.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.load import load_parts
from sv3dgen.sv3d.checkpoint.model_config import read_config_beside
from sv3dgen.sv3d.model import SV3D
from sv3dgen.sv3d.parity.values import GROUPS, Case, MissingTensor, Tensors, preprocessing_cases

_INPUTS = re.compile(
    r"in\..*|ae\.clip|den\.(x\.\d+|sigmas)|traj\..*_deg|orbit\.smooth\.input|orbit\.dynamic\.(numpy_seed|init_elev_deg)"
    r"|pipe\.decoded_idx|vdec\.z|loss\.(latents|noise|sigma|sigma_sampler_rand)"
)


@dataclass(frozen=True)
class Tolerance:
    """An error may be `absolute` plus `relative` times the expected value."""

    absolute: float = 0.0
    relative: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.absolute:g}"] if self.absolute else []
        return " + ".join(parts + ([f"{self.relative:g} |x|"] if self.relative else []))


_TOLERANCES: tuple[tuple[str, Tolerance], ...] = (
    (r"traj\..*|orbit\..*|.*vector", Tolerance(1e-6)),
    (r"sched\.c_noise.*", Tolerance(2.5e-6, 1e-5)),  # ln(sigma) / 4, where 1e-5 of sigma is 2.5e-6
    (r"sched\..*|guider\..*|den\.scalings|loss\.(v_weight|sigma_sampler_out)", Tolerance(0.0, 1e-5)),
    (r"cond\.crossattn|clip.*", Tolerance(2e-5)),
    (r"cond\.concat|ae\..*", Tolerance(5e-5)),
    (r"den\.guided\..*", Tolerance(3e-4)),
    (r"den\..*|u\..*|dbg\..*|loss\.per_frame", Tolerance(1e-4)),
    (r"samp\..*", Tolerance(1e-3, 1e-5)),
    (r"pipe\.decoded", Tolerance(5e-4)),
    (r"pipe\.frames_u8|preprocess/.*", Tolerance(1.0)),
)
"""The first that matches a name holds; from the README of the published case."""


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    error: float  # largest absolute one
    tolerance: Tolerance
    within: bool
    note: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, 1 where a tensor is off, or 2 for something the user has to fix."""
    parser = OneLineParser(prog="python -m sv3dgen.sv3d.parity", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="holds config.json, model.safetensors and io.safetensors")

    def command() -> int:
        rows, left_out = compare(read_case(parser.parse_args(arguments).folder))
        _print_table(rows, left_out)
        return 0 if rows and all(row.within for row in rows) else 1

    return exit_status(command, "sv3dgen.sv3d.parity")


def read_case(folder: Path) -> Case:
    """The case in a folder, its model in float32; InputError names what is missing or damaged."""
    for name in ("config.json", "model.safetensors", "io.safetensors"):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: no such file, expected a parity case")
    found = read_config_beside(folder / "model.safetensors")
    if found is None:
        raise InputError(f"{folder / 'config.json'}: no official_config in it, expected the sizes of a parity case")
    config = found[0]
    tensors = _read_tensors(folder / "io.safetensors")
    if "in.cond_aug" in tensors:
        config = replace(config, cond_aug=float(tensors["in.cond_aug"]))
    overrides = folder / "sv3d_u_overrides.safetensors"
    unet, vae, image_encoder = load_parts(folder / "model.safetensors", config)
    return Case(
        folder=folder,
        model=SV3D(unet, vae, image_encoder, config),
        tensors=tensors,
        u_weights=_read_tensors(overrides) if overrides.is_file() else None,
    )


@torch.no_grad()
def compare(case: Case) -> tuple[list[Row], list[str]]:
    """Every expected tensor against ours, in the order they are computed, and lines on what was left out."""
    expected = _expected(case)
    rows, missing = [], []
    for group in GROUPS:
        try:
            for name, value in group(case):
                if name in expected:
                    rows.append(_compared(name, value, expected.pop(name)))
        except MissingTensor as error:
            missing.append(str(error))
    reason = f"not without {', '.join(missing)}, which the case lacks" if missing else "not known here"
    of_svd = "of SVD's video decoder, which SV3D does not use"
    return rows, [f"{name}: {of_svd if name.startswith('vdec.') else reason}" for name in expected]


def _expected(case: Case) -> dict[str, Tensor]:
    outputs = {name: value for name, value in case.tensors.items() if not _INPUTS.fullmatch(name)}
    for entry in preprocessing_cases(case.folder):
        with Image.open(case.folder / "preprocess" / entry["output"]) as image:
            outputs[f"preprocess/{entry['output']}"] = torch.from_numpy(np.array(image))
    return outputs


def _compared(name: str, value: Tensor, expected: Tensor) -> Row:
    tolerance = next((found for pattern, found in _TOLERANCES if re.fullmatch(pattern, name)), Tolerance(1e-4))
    if value.shape != expected.shape:
        note = f"shape {tuple(value.shape)}, expected {tuple(expected.shape)}"
        return Row(name, float("nan"), tolerance, False, note)
    error = (value.double() - expected.double()).abs()
    within = error <= tolerance.absolute + tolerance.relative * expected.double().abs()  # False where not a number
    return Row(name, float(error.max()), tolerance, bool(within.all()))


def _read_tensors(path: Path) -> Tensors:
    try:
        return Tensors(load_file(path))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a safetensors file ({error})") from None


def _print_table(rows: Sequence[Row], left_out: Sequence[str]) -> None:
    width = max([len(row.name) for row in rows] + [6])
    print(f"{'tensor':<{width}}  {'largest error':>13}  {'tolerance':<16}")
    for row in rows:
        status = "ok" if row.within else f"FAIL {row.note}"
        print(f"{row.name:<{width}}  {row.error:>13.2e}  {str(row.tolerance):<16}  {status}".rstrip())
    for line in left_out:
        print(f"not compared: {line}")
    failed = sum(not row.within for row in rows)
    print(f"{len(rows)} tensors compared, {failed} above tolerance" if rows else "no expected tensors in the case")


if __name__ == "__main__":
    sys.exit(main())
