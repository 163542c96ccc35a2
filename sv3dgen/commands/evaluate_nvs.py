"""Score a model that makes views: `python -m sv3dgen.evaluate_nvs --weights FILE --data FOLDER --split test`.

FOLDER is a dataset of rendered orbits (python -m sv3dgen.render_dataset). The same table holds two baselines, and for
dynamic orbits what the model draws when it is told other cameras.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sv3dgen.cli.command import SEED, OneLineParser, exit_status, within
from sv3dgen.errors import InputError

if TYPE_CHECKING:
    from sv3dgen.nvs.evaluation import Evaluation


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 for something the user has to fix."""

    def command() -> int:
        options = vars(_parser().parse_args(arguments))
        as_json, pictures = options.pop("json"), options.pop("pictures")
        evaluations = evaluate(**options)
        from sv3dgen.nvs.evaluation import markdown, report
        from sv3dgen.nvs.orbit_pictures import write_orbits

        print(json.dumps(report(evaluations), indent=2) if as_json else markdown(evaluations))
        for kind, evaluation in evaluations.items() if pictures is not None else ():
            write_orbits(pictures / kind, evaluation.truth, evaluation.drawn)
        return 0

    return exit_status(command, "sv3dgen.evaluate_nvs")


def evaluate(
    weights: str,
    data: Path,
    *,
    split: Literal["train", "test"] = "test",
    kinds: Sequence[str] = ("static", "dynamic"),
    steps: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    exact: bool = False,
    lpips: bool = False,
    device: str = "cpu",
) -> "dict[str, Evaluation]":
    """An evaluation for each kind of orbit, of `limit` orbits spread over the split; all by default.

    `exact` computes in float32 where the device's plan has less. Raises InputError for what only the user can fix.
    """
    for name, number in (("limit", limit), ("steps", steps)):
        if number is not None and number < 1:
            raise InputError(f"--{name} {number}: expected at least 1")
    if not data.is_dir():
        raise InputError(f"{data}: no such folder, expected a dataset of orbits")
    from sv3dgen.data.orbit_dataset import OrbitDataset  # imports torch, which takes seconds
    from sv3dgen.metrics.lpips import load_lpips
    from sv3dgen.nvs.evaluation import evaluate_orbits, mean_of_images
    from sv3dgen.sv3d import SV3D, MemoryPlan
    from sv3dgen.sv3d.memory import plan_for

    plan = MemoryPlan() if exact else plan_for(device)
    model = SV3D.from_pretrained(weights, device=device, memory=replace(plan, clips_together=4))
    distance = load_lpips() if lpips else None
    frames = model.config.frames
    mean = mean_of_images(OrbitDataset(data, split="train", kinds=tuple(kinds), frames=frames, cached=False))
    evaluations = {}
    for kind in kinds:
        dataset = OrbitDataset(data, split=split, kinds=(kind,), frames=frames, cached=False)
        samples = [dataset[index] for index in spread(len(dataset), limit)]
        evaluations[kind] = evaluate_orbits(
            model,
            samples,
            mean,
            steps=steps,
            seed=seed,
            controls=kind == "dynamic",
            lpips=distance,
            on_step=_tell(kind),
        )
    return evaluations


def spread(length: int, limit: int | None) -> list[int]:
    """At most `limit` indices, evenly over all."""
    count = length if limit is None else min(length, limit)
    return [index * length // count for index in range(count)]


def _tell(kind: str):
    def on_step(step: int, steps: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{kind}: {step}/{steps}", end="\n" if step == steps else "", file=sys.stderr, flush=True)

    return on_step


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.evaluate_nvs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", required=True, help="as weights= of launch.py: a file, a folder, a hub repository")
    parser.add_argument("--data", type=Path, required=True, help="dataset of rendered orbits")
    parser.add_argument("--split", choices=("test", "train"), default="test", help="which orbits")
    parser.add_argument("--kinds", type=_kinds, default=("static", "dynamic"), help="static,dynamic or one of them")
    parser.add_argument("--steps", type=within(1, 1000), help="of the sampler; the model's own number if not given")
    parser.add_argument("--limit", type=within(1, 10**7), help="orbits of each kind; all if not given")
    parser.add_argument("--seed", type=SEED, default=0, help="of the noise")
    parser.add_argument("--exact", action="store_true", help="float32 throughout")
    parser.add_argument("--lpips", action="store_true", help="LPIPS too, on AlexNet")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps or auto")
    parser.add_argument("--pictures", type=Path, help="folder for contact sheets and videos")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    return parser


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if not set(kinds) <= {"static", "dynamic"}:
        raise argparse.ArgumentTypeError(f"{text}: expected static, dynamic or static,dynamic")
    return kinds


if __name__ == "__main__":
    sys.exit(main())
