"""Where a run takes place: processor, cores, memory, GPU; and the versions that its result depends on."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sv3dgen.parallel.cores import usable_cores

PACKAGES = ("torch", "lightning", "numpy", "numba", "triton", "hydra-core", "trimesh", "xatlas", "fast-simplification")


def versions() -> dict[str, str]:
    """Python's version, ours and those of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("sv3dgen", *PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"  # sv3dgen itself, when run from a bare checkout
    return found


def machine(device: str) -> dict[str, Any]:
    """Where the run takes place; `device` as torch names it."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "device": device,
        "device_name": _gpu_name(device) or cpu_name(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": total_memory_bytes(),
    }


def cpu_name() -> str:
    """The processor as it calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def total_memory_bytes() -> int | None:
    """Memory of the machine; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu_name(device: str) -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not device.startswith("cuda") or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(device)  # if nothing is on it yet, too: a model for views is loaded late
