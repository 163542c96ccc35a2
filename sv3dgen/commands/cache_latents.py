"""Encode a dataset's orbits once: `python -m sv3dgen.cache_latents --data FOLDER --weights FILE`.

Training then reads latents where it would encode pictures. Which autoencoder made them is written next to them and
checked. Given again, the command goes on where it stopped.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from sv3dgen.cli.command import OneLineParser, exit_status
from sv3dgen.errors import InputError

if TYPE_CHECKING:
    from sv3dgen.data.latent_cache import LatentCache
    from sv3dgen.data.orbit_files import OrbitRecord
    from sv3dgen.sv3d.model import SV3D

REPORT_S = 5.0
LOOP = 84  # pictures at a time: a whole loop


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, 2 for something the user has to fix, 130 when stopped."""

    def command() -> int:
        print(cache_latents(**vars(_parser().parse_args(arguments))))
        return 0

    return exit_status(command, "sv3dgen.cache_latents", stopped="stopped; the same command goes on from here")


def cache_latents(
    data: Path,
    weights: str,
    *,
    every: int = 1,
    embeddings: bool = False,
    device: str = "auto",
    half: bool = False,
    replace: bool = False,
) -> str:
    """Write what is missing and return a line on it. `half` computes in bfloat16.

    Raises InputError for a folder or weights that are no good, and where latents of another autoencoder, or of other
    views, are there already. With `replace` whatever is there is made anew.
    """
    if every not in (1, 2, 4):
        raise InputError(f"--every {every}: expected 1, 2 or 4; an orbit of 21 is every fourth of 84 views")
    if not data.is_dir():
        raise InputError(f"{data}: no such folder, expected a dataset of orbits")
    from sv3dgen.data.latent_cache import (  # these import torch
        MANIFEST,
        embeddings_path,
        latents_path,
        read_cache,
        write_cache,
    )
    from sv3dgen.data.orbit_files import read_index
    from sv3dgen.sv3d import SV3D, MemoryPlan

    records = read_index(data)
    plan = MemoryPlan(autocast="bfloat16" if half else None, encode_chunk=LOOP)
    model = SV3D.from_pretrained(weights, device=device, memory=plan)
    if records[0].size_px != model.config.size_px:
        raise InputError(f"{data}: orbits of {records[0].size_px} px, expected the model's {model.config.size_px}")
    wanted = _manifest(model, every, embeddings, half)
    found = None if replace else read_cache(data, ())
    if found is not None and found.half is None:  # of before it was noted
        found = dataclasses.replace(found, half=half)
    if found is not None and dataclasses.replace(found, half=half) == wanted != found:
        was = "with" if found.half else "without"
        raise InputError(f"{data / MANIFEST}: latents computed {was} --half; expected --replace")
    if found is not None and found != wanted:
        raise InputError(f"{data / MANIFEST}: latents of another model or of other views; expected --replace")
    if found is None:  # without a manifest, nobody knows whose latents there are
        (data / MANIFEST).unlink(missing_ok=True)
        for record in records:
            latents_path(data, record).unlink(missing_ok=True)
            embeddings_path(data, record).unlink(missing_ok=True)
    write_cache(data, wanted)
    missing = [record for record in records if not _is_there(data, record, embeddings)]
    started = told = perf_counter()
    for done, record in enumerate(missing, start=1):
        _encode(model, data, record, every, embeddings)
        if (now := perf_counter()) - told > REPORT_S:
            told, speed = now, done / (now - started)
            print(f"{done}/{len(missing)} orbits, {speed:.1f} orbits/s", flush=True)
    return f"latents of {len(records)} orbits in {data}, {len(missing)} of them new"


def _manifest(model: "SV3D", every: int, embeddings: bool, half: bool) -> "LatentCache":
    from sv3dgen.data.latent_cache import LatentCache, fingerprint

    return LatentCache(
        encoder_sha256=fingerprint(*model.vae.encoding_modules),
        scale_factor=model.config.vae.scale_factor,
        every=every,
        image_encoder_sha256=fingerprint(model.image_encoder) if embeddings else None,
        half=half,
    )


def _is_there(data: Path, record: "OrbitRecord", embeddings: bool) -> bool:
    from sv3dgen.data.latent_cache import embeddings_path, latents_path

    return latents_path(data, record).is_file() and (not embeddings or embeddings_path(data, record).is_file())


def _encode(model: "SV3D", data: Path, record: "OrbitRecord", every: int, embeddings: bool) -> None:
    """Write the latents, and the embeddings if they are wanted, of one loop on white."""
    import numpy as np
    import torch

    from sv3dgen.atomic import atomic_write
    from sv3dgen.data.latent_cache import embeddings_path, latents_path
    from sv3dgen.data.orbit_dataset import on_color

    loop = np.load(record.stem(data).with_suffix(".npy"), mmap_mode="r")[::every]
    white = on_color(np.asarray(loop), np.full(3, 255))
    pictures = torch.from_numpy(white.transpose(0, 3, 1, 2).copy()).float() / 127.5 - 1
    files = {latents_path(data, record): model.encode}
    if embeddings:
        files[embeddings_path(data, record)] = model.embed
    for path, function in files.items():
        with model.memory.computing(model.device):
            values = function(pictures.to(model.device))
        with atomic_write(path) as temporary:
            np.save(temporary, values.float().cpu().numpy().astype(np.float16))


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m sv3dgen.cache_latents", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="dataset of rendered orbits")
    parser.add_argument("--weights", required=True, help="of the model whose autoencoder it is")
    parser.add_argument("--every", type=int, default=1, help="of the 84 views, encode every 1, 2 or 4 (default: 1)")
    parser.add_argument("--embeddings", action="store_true", help="the image encoder's too, where that is not trained")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps or auto")
    parser.add_argument("--half", action="store_true", help="compute in bfloat16: faster, a little off")
    parser.add_argument("--replace", action="store_true", help="throw away the latents that are there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
