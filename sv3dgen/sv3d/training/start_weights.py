"""The weights that training starts from: none, those of a model of the same kind, or those of a relative.

A relative is SV3D_u for a model with poses (the paper's curriculum), or Stable Video Diffusion. They differ in one
layer, which embeds the numbers that condition a frame: SV3D_u has the noise level of the picture alone, SVD frame rate
and motion instead of poses.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn

from sv3dgen.errors import InputError
from sv3dgen.sv3d.checkpoint.contents import Contents, official_contents, read_contents, variant_of
from sv3dgen.sv3d.checkpoint.keys import DECODER_PREFIX, ENCODER_PREFIX, LABEL_EMBEDDING
from sv3dgen.sv3d.checkpoint.load import Parts, filled_parts
from sv3dgen.sv3d.checkpoint.model_config import read_config_beside
from sv3dgen.sv3d.checkpoint.safetensors_header import StoredTensor, read_header
from sv3dgen.sv3d.checkpoint.weights import find_weights
from sv3dgen.sv3d.config import SV3DConfig
from sv3dgen.sv3d.network.vae import ImageVAE
from sv3dgen.sv3d.training.initialize import fresh_parts, initialize

CameraBranch = Literal["kept", "widened", "new"]

_SVD_VECTOR = 768  # frame rate, motion and noise level, 256 each
_SVD_ENCODER_PREFIX = "conditioner.embedders.3.encoder."
_SVD_UNUSED = "first_stage_model.encoder."


class Start(NamedTuple):
    """Modules to train, their sizes, and what became of the layer that embeds the conditioning numbers.

    It is as in the weights, has further inputs whose weights are 0 (so that the model gives what it gave before), or
    is random.
    """

    parts: Parts
    config: SV3DConfig
    camera_branch: CameraBranch


def starting_parts(weights: str | Path | None, config: SV3DConfig, generator: torch.Generator) -> Start:
    """Frozen float32 modules on the CPU; without weights, all random.

    `config` says what is wanted. The latents' scale factor is taken from a config.json next to the weights where there
    is one: it was measured with their autoencoder. Raises InputError for weights of other sizes, or of a model from
    which this one can't go on.
    """
    if weights is None:
        return Start(fresh_parts(config, generator), config, "new")
    path = find_weights(weights, "sv3d_p" if config.unet.takes_poses else "sv3d_u")
    contents = _contents(path, config)
    _check_sizes(path, contents.config, config)
    parts = filled_parts(contents)
    beside = read_config_beside(path / "unet" if path.is_dir() else path)
    if beside is not None:
        config = replace(config, vae=replace(config.vae, scale_factor=beside[0].vae.scale_factor))
    parts.vae.config = config.vae  # by whose scale factor it decodes
    return Start(parts, config, _fit_camera_branch(path, parts, contents.config, config, generator))


def load_vae(weights: str | Path, config: SV3DConfig) -> tuple[ImageVAE, float]:
    """The autoencoder of a checkpoint whatever its other parts are, and its scale factor. It is frozen, in float32."""
    path = find_weights(weights)
    contents = read_contents(path)
    found = replace(contents.config.vae, scale_factor=config.vae.scale_factor)
    if found != config.vae:
        raise InputError(f"{path}: its autoencoder is {contents.config.vae}, expected {config.vae}")
    return filled_parts(contents).vae, contents.config.vae.scale_factor


def _check_sizes(path: Path, found: SV3DConfig, wanted: SV3DConfig) -> None:
    """Raise InputError where the weights are of other sizes, apart from the conditioning vector's."""
    unet = replace(found.unet, vector_dims=wanted.unet.vector_dims)
    vae = replace(found.vae, scale_factor=wanted.vae.scale_factor)
    for part, size, expected in (
        ("unet", unet, wanted.unet),
        ("vae", vae, wanted.vae),
        ("image_encoder", found.image_encoder, wanted.image_encoder),
    ):
        if size != expected:
            raise InputError(f"{path}: its {part} is {size}, expected {expected}")


def _contents(path: Path, config: SV3DConfig) -> Contents:
    """The checkpoint's contents, by the sizes wanted but for the width of its own conditioning vector."""
    if path.is_dir():
        return read_contents(path, None)
    stored = _with_sv3d_keys(path, read_header(path))
    shape = stored[LABEL_EMBEDDING].shape if LABEL_EMBEDDING in stored else ()
    wanted = config.unet.vector_dims
    dims = wanted if len(shape) != 2 or shape[1] == sum(wanted) else (shape[1],)
    return official_contents(path, stored, replace(config, unet=replace(config.unet, vector_dims=dims)))


def _with_sv3d_keys(path: Path, stored: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The tensors of an SVD file under SV3D's keys; an SV3D file as it is."""
    if not any(key.startswith(_SVD_ENCODER_PREFIX) for key in stored):
        return dict(stored)
    if any(key.startswith(DECODER_PREFIX) and ".time_stack." in key for key in stored):
        raise InputError(
            f"{path}: Stable Video Diffusion with its temporal decoder, which SV3D has not; expected the file with "
            "the image decoder, svd_xt_image_decoder.safetensors"
        )
    renamed = {key.replace(_SVD_ENCODER_PREFIX, ENCODER_PREFIX): tensor for key, tensor in stored.items()}
    return {key: tensor for key, tensor in renamed.items() if not key.startswith(_SVD_UNUSED)}


def _fit_camera_branch(
    path: Path, parts: Parts, found: SV3DConfig, wanted: SV3DConfig, generator: torch.Generator
) -> CameraBranch:
    """Make the layer that embeds the conditioning numbers take those of the model wanted."""
    before, after = sum(found.unet.vector_dims), sum(wanted.unet.vector_dims)
    if before == after:
        return "kept"
    branch = parts.unet.add_embedding
    old = branch.linear_1.weight
    parts.unet.config = wanted.unet
    branch.linear_1.in_features = after
    branch.linear_1.weight = nn.Parameter(old.new_zeros(len(old), after), requires_grad=False)
    if before == _SVD_VECTOR:
        initialize(branch, generator)
        return "new"
    if before != wanted.unet.vector_dims[0]:
        raise InputError(
            f"{path}: conditions a frame by {before} numbers, from which no {variant_of(wanted)} can go on; expected "
            f"{after}, {wanted.unet.vector_dims[0]} (SV3D_u) or {_SVD_VECTOR} (Stable Video Diffusion)"
        )
    with torch.no_grad():
        branch.linear_1.weight[:, :before] = old  # the noise level of the picture comes first in all variants
    return "widened"
