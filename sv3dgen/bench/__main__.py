"""Measure speed and quality.

kernels: each kernel against its plain-torch reference. stages: a whole run by part, and what plain torch would need.
objects: a folder of objects from views to mesh, each against its ground truth. photos: the same from one photo.
distillation: score distillation on known meshes, where views see them and where none does. imperfect: meshes of views
as wrong as a generator's, with and without what forgives that. light: whether albedo and light come apart. memory: what
SV3D takes at full size. elevation: how well silhouettes tell the elevation of a photo. busy: how much longer a run
takes where others compute. gpu: all that only a GPU can tell, in one short visit. peer: Mitsuba 3's recipes on the
same views for the same time.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sv3dgen.atomic import atomic_write
from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for something the user has to fix."""

    def command() -> int:
        options = _parser().parse_args(arguments)
        report, text = options.measure(options)
        if options.json:
            print(json.dumps(report, indent=2))
        elif text is not None:
            print(text)
        return 0

    return exit_status(command, "sv3dgen.bench")


def _kernels(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import kernels

    peers = ("drjit",) if options.drjit else ()
    report = kernels.measure(options.budget_s, options.only, options.device, peers)
    if not options.json:
        kernels.print_table(report)
    return report, None


def _stages(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    if not options.views.exists():
        raise InputError(f"--views {options.views}: expected a folder of posed views, found nothing")
    from sv3dgen.bench import stages

    report = stages.measure(options.views, options.settings, options.device)
    if not options.json:
        stages.print_table(report)
    return report, None


def _objects(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import objects

    report = objects.measure(
        options.views, options.meshes, only=options.only, settings=options.settings, keep=options.keep
    )
    text = objects.markdown(report)
    if options.out is None:
        return report, text
    with atomic_write(options.out) as path:
        path.write_text(text, encoding="utf-8")
    return report, f"{options.out}"


def _photos(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import photos

    report = photos.measure(
        options.meshes,
        size_px=options.size_px,
        places=options.places,
        sources=photos.SOURCES if options.true_views else photos.SOURCES[:1],
        only=options.only,
        settings=options.settings,
        keep=options.keep,
    )
    return report, photos.markdown(report)


def _distillation(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import distillation

    report = distillation.measure(
        options.meshes, nvs=options.nvs, only=options.only, settings=options.settings, keep=options.keep
    )
    return report, distillation.markdown(report)


def _light(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import light

    report = light.measure(options.meshes, only=options.only, settings=options.settings, keep=options.keep)
    return report, light.markdown(report)


def _memory(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import memory

    report = memory.measure(options.device, options.only, run=not options.computed)
    return report, memory.markdown(report)


def _elevation(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import elevation

    report = elevation.measure(options.meshes, only=options.only)
    return report, elevation.markdown(report)


def _busy(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    if not options.views.exists():
        raise InputError(f"--views {options.views}: expected a folder of posed views, found nothing")
    if options.rounds < 1 or (options.processes or 0) < 0:
        raise InputError("--rounds, --processes: expected at least 1 round and no fewer than 0 processes")
    from sv3dgen.bench import busy

    report = busy.measure(options.views, options.settings, rounds=options.rounds, processes=options.processes)
    return report, busy.markdown(report)


def _gpu(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import gpu
    from sv3dgen.devices import find_device

    device = "cpu" if options.toy else options.device
    find_device(device)  # a GPU that is not there is refused at once
    sizes = gpu.TOY if options.toy else gpu.Sizes()
    views = options.views or gpu.CHECKOUT / "examples" / "tugboat"
    rows = gpu.visit(
        gpu.gpu_parts(options.out, views, device, options.train_minutes, sizes), options.out, options.minutes
    )
    return {"parts": rows}, f"{options.out / 'report.md'}"


def _peer(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import peer

    for way in options.ways or ():
        if way not in peer.WAYS:
            raise InputError(f"--ways {way}: expected some of {', '.join(peer.WAYS)}")
    report = peer.measure(
        options.views,
        options.meshes,
        seconds=options.seconds,
        ways=options.ways or tuple(peer.WAYS),
        settings=options.settings,
        keep=options.keep,
    )
    return report, peer.markdown(report)


def _imperfect(options: argparse.Namespace) -> tuple[dict[str, Any], str | None]:
    from sv3dgen.bench import imperfect

    for name in options.parts or ():
        if name not in imperfect.PARTS:
            raise InputError(f"--parts {name}: expected some of {', '.join(imperfect.PARTS)}")
    for level in options.levels or ():
        if not 0 <= level <= 10:
            raise InputError(f"--levels {level:g}: expected 0 to 10")
    report = imperfect.measure(
        options.meshes,
        levels=options.levels or imperfect.LEVELS,
        parts=options.parts or tuple(imperfect.PARTS),
        only=options.only,
        settings=options.settings,
        keep=options.keep,
    )
    return report, imperfect.markdown(report)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.bench", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(
        required=True,
        metavar="kernels|stages|objects|photos|distillation|imperfect|light|memory|elevation|busy|gpu|peer",
    )
    common = OneLineParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON instead of a table")
    run = OneLineParser(add_help=False, parents=[common])
    run.add_argument("--set", dest="settings", nargs="*", default=[], help="settings for launch.py, key=value")
    of_meshes = OneLineParser(add_help=False, parents=[run])
    of_meshes.add_argument("--meshes", type=Path, required=True, help="folder of meshes, front +Z")
    of_meshes.add_argument("--keep", type=Path, help="folder to keep what is drawn and the runs in")
    of_meshes.add_argument("--only", nargs="*", default=[], help="words: meshes whose names hold one of them")

    kernels = commands.add_parser("kernels", parents=[common], help="each kernel against plain torch")
    kernels.add_argument("--budget-s", type=float, default=4.0, help="seconds for each implementation of each case")
    kernels.add_argument("--only", nargs="*", default=[], help="operations, by the names of config key `kernels`")
    kernels.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu or cuda")
    kernels.add_argument("--drjit", action="store_true", help="also Dr.Jit's hash grid, on this CPU (extra: peers)")
    kernels.set_defaults(measure=_kernels)

    stages = commands.add_parser("stages", parents=[run], help="a whole run by part, against plain torch")
    stages.add_argument("--views", type=Path, required=True, help="folder of posed views")
    stages.add_argument("--device", default="auto", help="auto (a GPU where there is one), cpu, cuda or mps")
    stages.set_defaults(measure=_stages)

    objects = commands.add_parser("objects", parents=[run], help="objects from views to mesh, against the truth")
    objects.add_argument("--views", type=Path, required=True, help="folder of folders of posed views")
    objects.add_argument("--meshes", type=Path, required=True, help="folder of ground-truth meshes, NAME.glb")
    objects.add_argument("--out", type=Path, help="Markdown file to write; standard output if not given")
    objects.add_argument("--keep", type=Path, help="folder to keep the runs in; those that lie there are not run again")
    objects.add_argument("--only", nargs="*", default=[], help="words: objects whose names hold one of them")
    objects.set_defaults(measure=_objects)

    photos = commands.add_parser(
        "photos", parents=[of_meshes], help="one photo of each mesh to a mesh, against the truth"
    )
    photos.add_argument("--size-px", type=int, default=64, help="of the true views to compare with, px (default: 64)")
    photos.add_argument(
        "--places", nargs="+", choices=("front", "aside"), default=["front"], help="photographed from (default: front)"
    )
    photos.add_argument("--no-true-views", dest="true_views", action="store_false", help="photos alone: half the time")
    photos.set_defaults(measure=_photos)

    distillation = commands.add_parser(
        "distillation",
        parents=[of_meshes],
        help="score distillation where views see a known mesh, and where none does",
    )
    distillation.add_argument("--nvs", default="mesh", help="mesh (knows the truth), or sv3d_tiny, sv3d_p, ...")
    distillation.set_defaults(measure=_distillation)

    imperfect = commands.add_parser(
        "imperfect",
        parents=[of_meshes],
        help="meshes from views as wrong as a generator's, by part that forgives",
    )
    imperfect.add_argument("--levels", type=float, nargs="*", help="of errors (default: 0 0.5 1 2)")
    imperfect.add_argument("--parts", nargs="*", help="all, 'no corrections' and others (default: every one)")
    imperfect.set_defaults(measure=_imperfect)

    light = commands.add_parser("light", parents=[of_meshes], help="albedo and light of meshes under a known light")
    light.set_defaults(measure=_light)

    memory = commands.add_parser("memory", parents=[common], help="what SV3D's parts and plans take at full size")
    memory.add_argument("--device", default="cpu", help="cpu (minutes) or cuda; calls run there with random weights")
    memory.add_argument("--only", nargs="*", default=[], help="words: stages whose names hold one, such as unet")
    memory.add_argument("--computed", action="store_true", help="no calls: the computed peaks alone (seconds)")
    memory.set_defaults(measure=_memory)

    busy = commands.add_parser("busy", parents=[run], help="a run alone, and while others compute on every core")
    busy.add_argument("--views", type=Path, required=True, help="folder of posed views")
    busy.add_argument("--rounds", type=int, default=3, help="pairs of runs (default: 3)")
    busy.add_argument("--processes", type=int, help="others that compute (default: as many as cores)")
    busy.set_defaults(measure=_busy)

    gpu = commands.add_parser("gpu", parents=[common], help="all that only a GPU can tell, in one short visit")
    gpu.add_argument("--out", type=Path, required=True, help="folder for the report, logs, run and training")
    gpu.add_argument("--views", type=Path, help="folder of posed views (default: examples/tugboat)")
    gpu.add_argument("--device", default="cuda", help="cuda, cuda:1, ... (default: cuda)")
    gpu.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default: 8)")
    gpu.add_argument("--train-minutes", type=float, help="of training SV3D-tiny on (default: all that is left)")
    gpu.add_argument("--toy", action="store_true", help="the same at toy sizes on the CPU")
    gpu.set_defaults(measure=_gpu)

    peer = commands.add_parser("peer", parents=[common], help="Mitsuba 3's recipes on the same views (extra: peers)")
    peer.add_argument("--views", type=Path, nargs="+", required=True, help="folders of posed views")
    peer.add_argument("--meshes", type=Path, required=True, help="folder of ground-truth meshes, named as the views")
    peer.add_argument("--seconds", type=float, help="for each recipe (default: as long as ours takes)")
    peer.add_argument("--ways", nargs="*", help="ours, field, field_from_hull, large_steps (default: all)")
    peer.add_argument("--keep", type=Path, help="folder to keep the runs in")
    peer.add_argument("--set", dest="settings", nargs="*", default=[], help="settings for launch.py, key=value")
    peer.set_defaults(measure=_peer)

    elevation = commands.add_parser("elevation", parents=[common], help="estimated elevations of known objects' orbits")
    elevation.add_argument("--meshes", type=Path, required=True, help="folder with meshes, also in its folders")
    elevation.add_argument("--only", nargs="*", default=[], help="words: objects whose names hold one of them")
    elevation.set_defaults(measure=_elevation)
    return parser


if __name__ == "__main__":
    sys.exit(main())
