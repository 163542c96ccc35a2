"""Pictures inside a mesh's file, before any of them is decoded: a few kilobytes can hold a picture of gigabytes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from sv3dgen.errors import InputError
from sv3dgen.views.image import MAX_PIXELS

_TEXTURES = ("image", "baseColorTexture")  # those that are read


@contextmanager
def opened_only() -> Iterator[None]:
    """Let PIL open pictures of any size in the block: trimesh would lose those that PIL refuses, without a word."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_pictures(path: Path, geometries: Iterable[Any]) -> None:
    """Raise InputError where the textures of trimesh's geometries have more pixels together than a photo may have.

    PIL reads a picture's size from its header, and the pixels when they are asked for.
    """
    pictures = {}
    for geometry in geometries:
        material = getattr(getattr(geometry, "visual", None), "material", None)
        for texture in _TEXTURES:
            picture = getattr(material, texture, None)
            if hasattr(picture, "size"):
                pictures[id(picture)] = picture
    pixels = sum(picture.size[0] * picture.size[1] for picture in pictures.values())
    if pixels > MAX_PIXELS:
        raise InputError(f"{path}: textures of {pixels / 1e6:.0f} megapixels, expected at most {MAX_PIXELS // 10**6}")
