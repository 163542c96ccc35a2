"""Real files, damaged by chance, through all that reads them.

    PYTHONPATH=. python tests/helpers/fuzz_files.py --minutes 60 --out FINDS

Each case is read, or refused in one line (InputError; exit status 0 or 2 of a command), within 5 s of CPU and 1 GB of
memory more than before, and what is refused leaves nothing half-written. What is not lies in FINDS, with its files.
The same --seed and --only NUMBER do one case again.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random

from checkout import SHARED
from fuzz_kinds import KINDS, Kind, gathered
from fuzz_mutations import damage_of

from sv3dgen.errors import InputError, one_line

MOST_CPU_S, MOST_GROWTH_MB, MOST_WALL_S, ROOM_MB = 5.0, 1024, 90.0, 6000
MOST_WORK_S, MOST_WORK_MB = 40.0, 4096  # of what does its work on an input that is good enough


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this one case")
    parser.add_argument("--kinds", nargs="*", choices=[kind.name for kind in KINDS])
    parser.add_argument("--sources", type=Path, default=SHARED, help="folder with wild, bad_inputs, meshes, photos")
    parser.add_argument("--out", type=Path, default=Path("fuzz_finds"))
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    kinds = [kind for kind in KINDS if not options.kinds or kind.name in options.kinds]
    with tempfile.TemporaryDirectory() as kept:
        sources = {kind.name: gathered(kind, options.sources, Path(kept)) for kind in kinds}
        watch(kinds, sources, options)


def watch(kinds: list[Kind], sources: dict[str, list[Path]], options: argparse.Namespace) -> None:
    """Cases in a process of their own, which is started anew where it hangs or dies."""
    until, number = time.monotonic() + 60 * options.minutes, options.only or 0
    counts, spent = Counter(), Counter()
    while time.monotonic() < until:
        here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
        arguments = (there, kinds, sources, options.seed, number, options.out, options.only is not None)
        worker = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
        worker.start()
        there.close()
        name = "start"
        try:
            while time.monotonic() < until:
                if not here.poll(MOST_WALL_S):
                    (options.out / f"{number}_hang").write_text(f"{name}: more than {MOST_WALL_S} s\n")
                    print(f"case {number} ({name}): hangs", flush=True)
                    break
                number, name, told = here.recv()
                if told is not None:
                    counts[name] += 1
                    spent[name] += told["cpu_s"]
                    number += 1
        except EOFError:
            if options.only is None:
                print(f"case {number} ({name}): the process died", flush=True)
                (options.out / f"{number}_died").write_text(f"{name}\n")
        worker.kill()
        worker.join()
        number += 1
        if options.only is not None:
            break
    for name, count in counts.items():
        print(f"{name}: {count} cases, {spent[name] / count:.2f} s of CPU each")
    print(f"{sum(counts.values())} cases, the next is {number}", flush=True)


def work(there, kinds: list[Kind], sources: dict, seed: int, number: int, out: Path, once: bool) -> None:
    """Do cases from this number on, and tell of each when it begins and when it is done."""
    size_kb = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() // 1024
    most = (size_kb // 1024 + ROOM_MB) << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    weights = [kind.weight for kind in kinds]
    while True:
        chance = Random(f"{seed}/{number}")
        kind = chance.choices(kinds, weights)[0]
        there.send((number, kind.name, None))
        told = one_case(kind, chance, sources[kind.name], out / f"{number}_{kind.name}")
        there.send((number, kind.name, told))
        number += 1
        if once:
            print(json.dumps(told, indent=1))
            return


def one_case(kind: Kind, chance: Random, sources: list[Path], find: Path) -> dict:
    """One damaged copy of a source, read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)  # for what a command is told to write without saying where
        case = folder / "in"
        given = chance.choice(sources) if sources else None
        changed = []
        if given is not None:
            shutil.copytree(given, case, copy_function=os.link)
            files = sorted(path for path in case.rglob("*") if path.is_file() and kind.damages(path.name))
            for path in chance.sample(files, min(len(files), chance.choice((1, 1, 1, 2)))):
                content = damage_of(path.name)(path.read_bytes(), chance)
                path.unlink()  # it is a link to the source
                path.write_bytes(content)
                changed.append(path)
        Path("/proc/self/clear_refs").write_text("5")
        before_mb, began, printed, problem = peak_mb(), cpu_s(), io.StringIO(), None
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                problem = kind.run(case, folder / "out", chance)
        except InputError as refusal:
            line = one_line(str(refusal))
            problem = None if line.isprintable() and len(line) < 3000 else f"not a line to print: {line[:200]!r}"
        except BaseException:
            problem = traceback.format_exc()
        told = {"cpu_s": cpu_s() - began, "grown_mb": peak_mb() - before_mb, "source": str(given), "problem": problem}
        if told["cpu_s"] > (MOST_CPU_S if not kind.works else MOST_WORK_S):
            problem = f"{problem or ''}\n{told['cpu_s']:.1f} s of CPU"
        if told["grown_mb"] > (MOST_WORK_MB if kind.works else MOST_GROWTH_MB):
            problem = f"{problem or ''}\n{told['grown_mb']} MB more than before"
        if problem:
            shutil.copytree(folder, find, dirs_exist_ok=True)
            text = (
                f"{given}\n{[str(path.relative_to(case)) for path in changed]}\n{problem}\n{printed.getvalue()[-2000:]}"
            )
            (find / "problem.txt").write_text(text, errors="replace")
        return told


def cpu_s() -> float:
    """Of this process and of those that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def peak_mb() -> int:
    """The most memory that was held since the mark was last cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


if __name__ == "__main__":
    main()
