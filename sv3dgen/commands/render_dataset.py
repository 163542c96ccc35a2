"""Textured meshes to training orbits: `python -m sv3dgen.render_dataset --meshes FOLDER --out FOLDER`.

Or objects made of seeds: `--procedural 1000`; or both. Renders static and dynamic loops of 84 RGBA views around each
(docs: sv3dgen/data/orbit_files.py). Given again, the command goes on where it stopped; broken meshes are left out and
listed at the end.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.domains import plain
from sv3dgen.errors import InputError
from sv3dgen.meshes.precheck import COLORLESS, SUFFIXES
from sv3dgen.runs.stopping import undisguised

if TYPE_CHECKING:
    from sv3dgen.data.orbit_rendering import RenderJob, RenderSettings

KINDS = ("static", "dynamic")
PROCEDURAL_LICENCE = "made by this project, Apache-2.0"
REPORT_S = 5.0
STOPPED = "stopped; the same command goes on from here"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        _check(options)
        return _run(options)

    return exit_status(command, stopped=STOPPED)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.render_dataset", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--meshes", type=Path, help="folder of meshes (docs/inputs.md), searched in depth")
    parser.add_argument("--procedural", type=int, default=0, metavar="N", help="number of objects made of seeds")
    parser.add_argument("--seed", type=int, default=0, help="first of the seeds, and of light and paths (default: 0)")
    parser.add_argument("--size-px", type=int, default=64, help="side of the square pictures (default: 64)")
    parser.add_argument("--supersample", type=int, default=3, help="samples along a pixel's side (default: 3)")
    parser.add_argument("--fov-deg", type=float, default=33.8, help="field of view")
    parser.add_argument("--distance", default="auto", help="of the cameras; auto: as near as no view clips (default)")
    parser.add_argument("--orbits", default="static=1,dynamic=1", help="loops for each object (default: %(default)s)")
    parser.add_argument("--sine-share", type=float, default=0.0, help="of dynamic loops that are one sine (default: 0)")
    parser.add_argument("--split-test", default="0", metavar="K|all", help="objects of each source to test with")
    parser.add_argument("--test-names", default="", help="names of meshes to test with, with commas between them")
    parser.add_argument("--licence", default="unknown", help="of the meshes, noted with each orbit")
    parser.add_argument("--untextured", action="store_true", help="take meshes without colors too, in gray")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--index", action="store_true", help="only make dataset.json of the orbits that are there")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse what is wrong without a look at a mesh, and turn texts into what they mean."""
    ranges = {
        "procedural": (0, 10**7),
        "seed": (0, 10**9),
        "size_px": (8, 1024),
        "supersample": (1, 8),
        "fov_deg": (1, 120),
        "workers": (1, 256),
        "sine_share": (0, 1),
    }
    for name, (low, high) in ranges.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise InputError(f"--{name.replace('_', '-')} {plain(value)}: expected {low} to {high}")
    options.distance = None if options.distance == "auto" else _number(options.distance, "distance", 0.2, 100)
    options.orbits = _loops(options.orbits)
    if options.split_test != "all":
        options.split_test = int(_number(options.split_test, "split-test", 0, 10**7))
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"{options.out}: expected a folder for the orbits, but it is a file")
    if options.index:
        if not options.out.is_dir():
            raise InputError(f"{options.out}: no such folder, expected rendered orbits")
    elif options.meshes is None and not options.procedural:
        raise InputError("nothing to render: expected --meshes FOLDER, --procedural N or both")
    elif options.meshes is not None and not options.meshes.is_dir():
        raise InputError(f"{options.meshes}: no such folder, expected meshes ({', '.join(SUFFIXES)})")


def _number(text: str, name: str, low: float | int, high: float | int) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"--{name} {text}: expected a number") from error
    if not low <= value <= high:
        raise InputError(f"--{name} {value:g}: expected {low:g} to {high:g}")
    return value


def _loops(text: str) -> list[tuple[str, int]]:
    """`static=2,dynamic=1` as the loops of an object: kind and number."""
    loops = []
    for entry in text.split(","):
        kind, _, count = entry.partition("=")
        if kind not in KINDS or not count.isdigit() or int(count) > 100:
            raise InputError(f"--orbits {text}: expected KIND=COUNT, with commas between, KIND static or dynamic")
        loops += [(kind, number) for number in range(int(count))]
    if not loops or len(set(loops)) < len(loops):
        raise InputError(f"--orbits {text}: expected each kind once, and at least one orbit")
    return loops


def _run(options: argparse.Namespace) -> int:
    from sv3dgen.data.orbit_files import write_index  # these import torch, which takes seconds
    from sv3dgen.data.orbit_rendering import RenderSettings

    broken: list[str] = []
    if not options.index:
        settings = RenderSettings(
            out=options.out.absolute(),
            size_px=options.size_px,
            supersample=options.supersample,
            fov_deg=options.fov_deg,
            distance=options.distance,
            sine_share=options.sine_share,
            untextured=options.untextured,
            seed=options.seed,
        )
        jobs = _missing(_jobs(options), settings)
        broken = _render_all(jobs, settings, options.workers)
    for line in broken:
        print(f"left out: {line}")
    records = write_index(options.out)
    splits = [sum(record.split == split for record in records) for split in ("train", "test")]
    print(f"{len(records)} orbits in {options.out}: {splits[0]} to train, {splits[1]} to test; {len(broken)} left out")
    if not splits[1]:
        print("none to test with, which training validates on: render some with --split-test K, or validation=null")
    return 0


def _jobs(options: argparse.Namespace) -> "list[RenderJob]":
    """Every object with all of its orbits."""
    from sv3dgen.data.orbit_rendering import RenderJob, procedural_seeds

    orbits = tuple(options.orbits)
    jobs = []
    if options.meshes is not None:
        paths = _named_meshes(options.meshes, options.untextured)
        for_test = _test_names(options, list(paths))
        for name, path in paths.items():
            split = "test" if name in for_test else "train"
            jobs.append(RenderJob(name=name, source=path, orbits=orbits, split=split, licence=options.licence))
    tests = options.procedural if options.split_test == "all" else min(options.split_test, options.procedural)
    for split, count in (("train", options.procedural - tests), ("test", tests)):
        for seed in procedural_seeds(options.seed, count, split == "test"):
            name = f"procedural_{seed:08d}"
            jobs.append(RenderJob(name=name, source=seed, orbits=orbits, split=split, licence=PROCEDURAL_LICENCE))
    return jobs


def _named_meshes(folder: Path, untextured: bool) -> dict[str, Path]:
    """Every mesh below the folder by the name of its orbits: its path there, without the suffix.

    Files of formats without colors, such as an STL next to a GLB, are looked at only where gray ones are wanted.
    """
    suffixes = [suffix for suffix in SUFFIXES if untextured or suffix not in COLORLESS]
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in suffixes and path.is_file():
            name = "__".join(path.relative_to(folder).with_suffix("").parts)
            # The same name twice: box.glb next to box.obj.
            found[name if name not in found else f"{name}__{path.suffix[1:].lower()}"] = path.absolute()
    if not found:
        raise InputError(f"{folder}: no meshes in it, expected {', '.join(suffixes)} files")
    return found


def _test_names(options: argparse.Namespace, names: list[str]) -> set[str]:
    """The meshes that were named, or as many as asked for by the least hash of their names, or all."""
    if options.test_names:
        wished = set(options.test_names.split(","))
        unknown = sorted(wished - set(names))
        if unknown:
            raise InputError(f"--test-names {unknown[0]}: no such mesh in {options.meshes}")
        return wished
    if options.split_test == "all":
        return set(names)
    return set(sorted(names, key=lambda name: sha256(name.encode()).digest())[: options.split_test])


def _missing(jobs: "list[RenderJob]", settings: "RenderSettings") -> "list[RenderJob]":
    """The jobs with what is not yet there; InputError where the folder holds pictures of another kind."""
    from dataclasses import asdict, replace

    from sv3dgen.data.orbit_files import complete_orbits, hold_settings

    done = {}
    for record in complete_orbits(settings.out) if settings.out.is_dir() else ():
        if record.size_px != settings.size_px or record.fov_deg != settings.fov_deg:
            raise InputError(
                f"{settings.out}: holds orbits of {record.size_px} px and {record.fov_deg:g} degrees, expected "
                f"{settings.size_px} px and {settings.fov_deg:g}; take another --out"
            )
        done[record.name, record.kind, record.number] = record.split
    left = []
    for job in jobs:
        for kind, number in job.orbits:
            if done.get((job.name, kind, number), job.split) != job.split:
                raise InputError(f"{settings.out}: {job.name} was rendered to be in another split; take another --out")
        rest = tuple(orbit for orbit in job.orbits if (job.name, *orbit) not in done)
        if rest:
            left.append(replace(job, orbits=rest))
    hold_settings(settings.out, asdict(settings), fresh=not done)  # after all refusals: it writes
    if done:
        print(f"{len(done)} orbits are there already")
    return left


def _render_all(jobs: "list[RenderJob]", settings: "RenderSettings", workers: int) -> list[str]:
    """Render on several processes; returns a line for each object that could not be."""
    broken: list[str] = []
    total, done, started = sum(len(job.orbits) for job in jobs), 0, perf_counter()
    told = started
    for job, outcome in _outcomes(jobs, settings, workers):
        done += len(job.orbits)
        if isinstance(outcome, str):
            broken.append(outcome if job.split == "train" else f"{outcome} (it was to test with)")
        now = perf_counter()
        if now - told > REPORT_S or done == total:
            told, speed = now, done / (now - started)
            left = (total - done) / speed
            print(f"{done}/{total} orbits, {speed:.1f} orbits/s, {left / 60:.0f} min left, {len(broken)} left out")
            sys.stdout.flush()
    return broken


def _outcomes(
    jobs: "list[RenderJob]", settings: "RenderSettings", workers: int
) -> "Iterator[tuple[RenderJob, int | str]]":
    """Each job as it gets ready, with the number of its orbits or why there are none."""
    from sv3dgen.data.orbit_rendering import set_one_thread

    if min(workers, len(jobs)) <= 1:
        for job in jobs:
            yield job, attempt(job, settings)
        return
    # Spawned, not forked: torch and numba have threads of their own by now.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), get_context("spawn"), initializer=set_one_thread)
    try:
        running = {pool.submit(attempt, job, settings): job for job in jobs}
        for future in as_completed(running):
            yield running[future], future.result()
    except BrokenProcessPool as error:
        raise InputError(
            "a process died, perhaps for want of memory; the same command goes on from here (try fewer --workers)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def attempt(
    job: "RenderJob", settings: "RenderSettings", render: "Callable[[RenderJob, RenderSettings], int] | None" = None
) -> int | str:
    """The number of orbits rendered, or in one line why this object can't be. A full disk is not the object's fault."""
    from sv3dgen.data.orbit_rendering import render_object

    try:
        with undisguised():
            return (render or render_object)(job, settings)
    except InputError as error:
        return str(error)
    except OSError:
        raise
    except Exception as error:  # a mesh can be broken in more ways than are known; the other thousands go on
        return f"{job.source}: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


if __name__ == "__main__":
    sys.exit(main())
