"""Normals predicted by Marigold (arXiv 2505.09358), through diffusers, of weights that are on this machine."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.color import over_white
from sv3dgen.devices import find_device
from sv3dgen.documents.json_text import parse_json
from sv3dgen.domains import Between, Seed
from sv3dgen.errors import InputError
from sv3dgen.normals.files import read_maps, write_normals
from sv3dgen.normals.source import NormalSource
from sv3dgen.runs.progress import StageLine
from sv3dgen.views.posed_views import PosedViews

PUBLISHED = "prs-eth/marigold-normals-v1-1"
KEPT = "normals_marigold"  # in the run's folder of views: predicted once for both stages and for a run that resumes
STAMP = "made_of.json"
INDEX = "model_index.json"


class Marigold(NormalSource):
    """`weights` is a folder of diffusers' MarigoldNormalsPipeline, or a repository of the hub that its local cache has;
    null is the published one. Nothing is downloaded.

    diffusers documents the prediction's axes as x right, y up, z at the viewer, which are this project's, so nothing is
    turned. `steps` null is the pipeline's own number; of `ensemble` predictions of a view the one nearest to their
    mean is taken.
    """

    def __init__(
        self,
        *,
        weights: str | None = None,
        device: str = "auto",
        steps: Annotated[int, Between(1, 1000)] | None = None,
        ensemble: Annotated[int, Between(1, 100)] = 1,
        seed: Seed = 0,
    ) -> None:
        if steps is not None and steps < 1:
            raise InputError(f"normals.steps={steps}: expected at least 1")
        if ensemble < 1:
            raise InputError(f"normals.ensemble={ensemble}: expected at least 1")
        self.weights, self.folder = weights or PUBLISHED, _at_hand(weights or PUBLISHED)
        self.device, self.steps, self.ensemble, self.seed = find_device(device), steps, ensemble, seed
        self.missing = (
            f"Marigold's weights are not on this machine, expected normals.weights=FOLDER, or them in the hub's cache: "
            f"hf download {self.weights}"
        )

    def maps(self, views: PosedViews, folder: Path) -> Float[Tensor, "views height width 3"] | None:
        if self.folder is None:
            return None
        kept = folder / KEPT
        files = [kept / f"{index:03d}.png" for index in range(len(views))]
        made_of = {
            "weights": str(self.folder),
            "steps": self.steps,
            "ensemble": self.ensemble,
            "seed": self.seed,
            "views_sha256": hashlib.sha256(views.images.numpy().tobytes()).hexdigest(),
        }
        stamp = kept / STAMP
        if not stamp.is_file() or parse_json(stamp.read_text(encoding="utf-8")) != made_of:
            stamp.unlink(missing_ok=True)
            line = StageLine("normals")
            line.start(0, len(views))
            try:
                predicted = self.predictions(load(self.folder, self.device), views, line.advance)
            finally:
                line.close()
            for file, normals in zip(files, predicted, strict=True):
                write_normals(file, normals)
            with atomic_write(stamp) as temporary:
                temporary.write_text(json.dumps(made_of), encoding="utf-8")
        # Read back in any case, so that a run that resumes goes on with the same numbers.
        return read_maps(files, views)

    def bring_along(self, views: PosedViews, given: Path, folder: Path) -> None:
        """Nothing: they are predicted."""

    def predictions(
        self, pipeline: Any, views: PosedViews, on_view: Callable[[], None] = lambda: None
    ) -> list[Float[Tensor, "height width 3"]]:
        """What the pipeline says of each view before white."""
        maps = []
        rgba = views.rgba
        for index, picture in enumerate(over_white(rgba[:, :3], rgba[:, 3:])):
            said = pipeline(
                picture[None],
                num_inference_steps=self.steps,
                ensemble_size=self.ensemble,
                generator=torch.Generator(self.device).manual_seed(self.seed + index),
                output_type="pt",
            )
            maps.append(torch.nn.functional.normalize(said.prediction[0].float().cpu(), dim=0).permute(1, 2, 0))
            on_view()
        return maps


def load(folder: Path, device: torch.device) -> Any:
    """The pipeline of a folder, in half precision on a GPU. InputError where files are missing or no good."""
    from diffusers.pipelines.marigold.pipeline_marigold_normals import MarigoldNormalsPipeline  # seconds

    halves, wholes = list(folder.glob("unet/*.fp16.safetensors")), list(folder.glob("unet/*model.safetensors"))
    on_gpu = device.type == "cuda"
    try:
        pipeline = MarigoldNormalsPipeline.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            variant="fp16" if halves and (on_gpu or not wholes) else None,
            torch_dtype=torch.float16 if on_gpu else torch.float32,
            low_cpu_mem_usage=False,  # True wants accelerate
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise InputError(f"{folder}: expected a whole MarigoldNormalsPipeline of diffusers ({reason})") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _at_hand(weights: str) -> Path | None:
    """The folder of the weights; None where they are a repository that the hub's cache does not have."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    folder = Path(weights).expanduser()
    if folder.is_dir():
        if not (folder / INDEX).is_file():
            raise InputError(f"normals.weights={weights}: no {INDEX} in it, expected a folder of diffusers")
        return folder
    try:
        cached = try_to_load_from_cache(weights, INDEX)
    except HFValidationError:
        raise InputError(f"normals.weights={weights}: expected a folder, or a repository of the hub") from None
    return Path(cached).parent if isinstance(cached, str) else None
