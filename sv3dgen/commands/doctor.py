"""`python -m sv3dgen.doctor [--json]`: what this machine has, which backend runs each operation, and why.

`--weights FILE` looks at a checkpoint of SV3D instead: which model it is, and whether all of it is there and sound.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.compiling.folder import cache_folder
from sv3dgen.kernels.accelerators import ACCELERATORS, torch_is_for_amd
from sv3dgen.kernels.backend import available
from sv3dgen.parallel.cores import usable_cores
from sv3dgen.runs.machine import cpu_name, total_memory_bytes, versions
from sv3dgen.runs.threads import quota_cores, waiting


@dataclass(frozen=True)
class Extra:
    """A package that is never needed: what it would be for, how to get it, and under which licence it stands."""

    module: str
    distribution: str
    purpose: str
    how: str
    licence: str


EXTRAS = (
    *(
        Extra(found.module, found.module, f"kernels.{found.operation}={found.module}", found.how, found.licence)
        for found in ACCELERATORS.values()
    ),
    Extra("pycolmap", "pycolmap", "cameras of plain photos", 'pip install -e ".[sfm]"', "BSD-3-Clause"),
    Extra("DracoPy", "dracopy", "meshes packed by Draco", 'pip install -e ".[draco]"', "Apache-2.0"),
    Extra("gradio", "gradio", "python -m sv3dgen.app", 'pip install -e ".[app]"', "Apache-2.0"),
    Extra("viser", "viser", "viewer=true, python -m sv3dgen.view", 'pip install -e ".[view]"', "Apache-2.0"),
    Extra("rembg", "rembg", "background removal by a network", 'pip install -e ".[rembg]"', "MIT"),
)


def examine() -> dict[str, Any]:
    """Everything the doctor tells, as plain values."""
    devices = torch_devices()
    return {
        "versions": versions(),
        "cpu": {
            "name": cpu_name(),
            "cores": usable_cores(),
            "memory_gib": _gib(total_memory_bytes()),
            **thread_counts(),
        },
        "kernels": {"folder": str(cache_folder()), "files": len(list(cache_folder().glob("*.nbc")))},
        "devices": devices,
        "operations": {
            name: [operation._asdict() for operation in available(name)]
            for name in dict.fromkeys(device["type"].partition(":")[0] for device in devices)
        },
        "extras": [{**asdict(extra), "version": installed(extra), "obstacle": obstacle(extra)} for extra in EXTRAS],
        "ffmpeg": ffmpeg(),
        "lpips_weights": lpips_weights(),
    }


def torch_devices() -> list[dict[str, Any]]:
    """The devices torch can compute on; the CPU is always the last, and `device=auto` takes the first CUDA GPU."""
    import torch

    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append({"type": f"cuda:{index}", "name": properties.name, "memory_gib": _gib(properties.total_memory)})
    if torch.backends.mps.is_available():
        found.append({"type": "mps", "name": "Apple GPU", "memory_gib": None})
    found.append({"type": "cpu", "name": cpu_name(), "memory_gib": _gib(total_memory_bytes())})
    return found


def thread_counts() -> dict[str, int | str]:
    """Threads that numba and torch use, how they wait, and what limits them."""
    import torch
    from numba import get_num_threads, threading_layer

    quota = quota_cores()
    return {
        "numba_threads": get_num_threads(),  # starts them, which settles the layer
        "numba_threading_layer": threading_layer(),
        "torch_threads": torch.get_num_threads(),
        "waiting": waiting(),
        "quota": "none" if quota is None else f"{quota:g} cores",
    }


def installed(extra: Extra) -> str | None:
    """The version of an optional package, or None. It is looked up, not imported: imports of these may compile."""
    if find_spec(extra.module) is None:
        return None
    try:
        return version(extra.distribution)
    except PackageNotFoundError:
        return "unknown version"


def obstacle(extra: Extra) -> str | None:
    """Why an optional package is of no use on this machine whether or not it is installed; None if it may be."""
    if extra.module in ACCELERATORS and torch_is_for_amd():
        return "of no use here: it runs on an Nvidia GPU only, and torch is built for AMD's (ROCm)"
    return None


def ffmpeg() -> str | None:
    """Where the program that writes turntables is; None where there is none."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return None


def lpips_weights() -> dict[str, str | None]:
    """The file of each backbone, or None where the first use has to fetch it."""
    from sv3dgen.metrics.lpips import SHIPPED, vgg_at_hand

    cached = vgg_at_hand()
    return {"alex": str(SHIPPED), "vgg": None if cached is None else str(cached)}


def report(facts: dict[str, Any]) -> str:
    """The facts as lines for a person."""
    cpu = facts["cpu"]
    lines = ["Versions", *(f"  {name:<20} {number}" for name, number in facts["versions"].items())]
    lines += ["", "CPU", f"  {cpu['name']}, {cpu['cores']} cores, {_size(cpu['memory_gib'])}"]
    counts = f"numba {cpu['numba_threads']} (layer: {cpu['numba_threading_layer']}), torch {cpu['torch_threads']}"
    lines.append(f"  threads: {counts}; {cpu['waiting']}; a control group's quota: {cpu['quota']}")
    lines.append(f"  compiled kernels: {facts['kernels']['folder']}, {facts['kernels']['files']} files")
    lines += ["", "Devices"]
    for device in facts["devices"]:
        untried = "" if device["type"] == "cpu" else "; the 3D stages have not been run on one yet (docs/gpu.md)"
        lines.append(f"  {device['type']:<8} {device['name']}, {_size(device['memory_gib'])}{untried}")
    for device, operations in facts["operations"].items():
        lines += ["", f"Operations on {device}"]
        lines += [f"  {o['operation']:<20} {o['backend']:<7} {o['why']}" for o in operations]
    lines += ["", "Optional packages (never needed)"]
    for extra in facts["extras"]:
        state = extra["obstacle"] or extra["version"] or f"not installed; {extra['how']}"
        lines.append(f"  {extra['distribution']:<12} {extra['purpose']}: {state} [{extra['licence']}]")
    lines += ["", "Files"]
    lines.append(f"  ffmpeg       {facts['ffmpeg'] or 'none found: no turntable; pip install imageio-ffmpeg'}")
    for net, path in facts["lpips_weights"].items():
        state = path or "not cached: fetched at the first use; without a network the LPIPS term is left out"
        lines.append(f"  LPIPS {net:<6} {state}")
    return "\n".join(lines)


def _gib(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else round(size_bytes / 2**30, 1)


def _size(gib: float | None) -> str:
    return "memory unknown" if gib is None else f"{gib} GiB"


def examine_weights(weights: str) -> dict[str, Any]:
    """What a checkpoint is, as plain values; of a *.json, a list of a checkpoint's keys, names and shapes alone.

    Raises InputError where it is no good.
    """
    from sv3dgen.sv3d.checkpoint.safetensors_header import read_header

    path = Path(weights).expanduser()
    is_list = path.suffix == ".json" and path.is_file()
    if path.is_file() and not is_list:
        read_header(path)  # a broken file is refused at once: all that follows imports torch

    from sv3dgen.sv3d.checkpoint.contents import read_contents, read_key_list
    from sv3dgen.sv3d.checkpoint.stored_values import finite_tensors
    from sv3dgen.sv3d.checkpoint.weights import find_weights

    contents = read_key_list(path) if is_list else read_contents(find_weights(weights))
    facts = contents.facts()
    if is_list:
        return {**facts, "bytes": None, "dtypes": [], "values": "none: this is a list of keys, not the weights"}
    for _ in finite_tensors(contents):
        pass
    return {**facts, "values": "all finite"}


def weights_report(facts: dict[str, Any]) -> str:
    """The facts of a checkpoint as lines for a person."""
    size = "" if facts["bytes"] is None else f", {facts['bytes'] / 1e9:.2f} GB in {' and '.join(facts['dtypes'])}"
    lines = [f"{facts['path']}: good"]
    lines.append(f"  {'model':<14} {facts['model']}, {facts['layout']} layout; sizes: {facts['sizes_from']}")
    lines.append(f"  {'stored':<14} {facts['tensors']} tensors{size}")
    lines += [f"  {part:<14} {count:,} parameters" for part, count in facts["parameters"].items()]
    lines.append(f"  {'unused':<14} {facts['unused_tensors']} tensors of {facts['unused_values']:,} values")
    lines += [f"  {'':<14} {names}" for names in facts["unused"]]
    lines.append(f"  {'values':<14} {facts['values']}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report, or with --json the facts. Exit status: 0, or 2 for weights that are no good."""
    parser = OneLineParser(prog="python -m sv3dgen.doctor", description="What this machine has for sv3dgen.")
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="check a checkpoint of SV3D instead: a file, a diffusers folder, or a repository of the hub, "
        "which is downloaded; a *.json list of keys and shapes is checked for these",
    )

    def command() -> int:
        options = parser.parse_args(arguments)
        facts = examine() if options.weights is None else examine_weights(options.weights)
        in_words = report if options.weights is None else weights_report
        print(json.dumps(facts, indent=2) if options.json else in_words(facts))
        return 0

    return exit_status(command, "sv3dgen.doctor")


if __name__ == "__main__":
    sys.exit(main())
