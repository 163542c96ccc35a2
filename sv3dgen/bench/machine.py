"""What a measurement ran on, in words that name the machine's kind but not the machine."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

from sv3dgen.parallel.cores import usable_cores
from sv3dgen.runs.machine import cpu_name, total_memory_bytes, versions


def describe() -> str:
    """Processor, usable cores, memory, and the versions that decide the speed, on one line."""
    memory = total_memory_bytes()
    parts = [" ".join(cpu_name().split()), f"{usable_cores()} cores"]
    if memory is not None:
        parts.append(f"{memory / 1e9:.0f} GB")
    found = versions()
    parts.append(f"{platform.system()} {platform.machine()}")
    return ", ".join(parts + [f"{name} {found[name]}" for name in ("python", "torch", "numba")])


def told(report: Mapping[str, Any], explanation: str, table: Sequence[str], **values: Any) -> str:
    """A report's table in Markdown, after the machine and an explanation that names the settings and other values."""
    settings = "".join(f" {setting}" for setting in report["settings"])
    text = explanation.format(settings=settings, **values)
    return "\n".join([f"Measured on: {report['machine']}.", "", text, "", *table])
