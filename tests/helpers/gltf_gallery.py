"""A colorful egg, written once for each feature of glTF that is read: for comparing renderers (`against_three.py`)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from gltf_case import GltfCase
from PIL import Image

ROWS = 24
CLAMP, MIRROR, REPEAT = 33071, 33648, 10497
TURNED = [0, 0, 0.3826834, 0.9238795]  # 45 degrees about z


def _egg() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, texture coordinates and indices of a grid wrapped around an ellipsoid."""
    u, v = np.meshgrid(np.linspace(0, 1, 2 * ROWS + 1), np.linspace(0, 1, ROWS + 1))
    around, down = 2 * np.pi * u, np.pi * v
    ball = np.stack([np.sin(down) * np.sin(around), np.cos(down), np.sin(down) * np.cos(around)], -1)
    wide = 2 * ROWS + 1
    corner = (np.arange(ROWS)[:, None] * wide + np.arange(2 * ROWS)).reshape(-1)
    quads = [corner, corner + wide, corner + 1, corner + 1, corner + wide, corner + wide + 1]
    positions = (0.5 * ball * [1, 0.8, 0.6]).reshape(-1, 3)
    uv = np.stack([u, v], -1).reshape(-1, 2)
    return positions.astype(np.float32), uv.astype(np.float32), np.stack(quads, 1).reshape(-1).astype(np.uint16)


P, UV, F = _egg()
COLORS = ((P - P.min(0)) / np.ptp(P, axis=0)).astype(np.float32)


def picture() -> Image.Image:
    """Waves in red and green, a checkerboard in blue."""
    y, x = np.mgrid[0:128, 0:256]
    waves = [128 + 100 * np.sin(x / 9), 128 + 100 * np.sin(y / 11 + x / 30), 255 * ((x // 16 + y // 16) % 2)]
    return Image.fromarray(np.stack(waves, -1).astype(np.uint8))


def _with_holes(sharp: float) -> Image.Image:
    y, x = np.mgrid[0:128, 0:256]
    image, apart = picture().convert("RGBA"), np.hypot(x % 32 - 16, y % 32 - 16) - 10
    image.putalpha(Image.fromarray(np.clip(102 + sharp * apart, 0, 255).astype(np.uint8)))
    return image


def _textured(case: GltfCase, image: Image.Image | None = None, info: dict | None = None, **more) -> dict:
    return case.primitive(P, F, TEXCOORD_0=UV, material=case.textured(image or picture(), info, **more))


def _colored(case: GltfCase, colors: np.ndarray, factor: list[float], textured: bool, normalized: bool = True) -> None:
    if textured:
        number = case.textured(picture())
        case.json["materials"][number]["pbrMetallicRoughness"]["baseColorFactor"] = factor
    else:
        number = case.material(pbrMetallicRoughness={"baseColorFactor": factor})
    case.primitive(P, F, TEXCOORD_0=UV, COLOR_0=case.array(colors, normalized=normalized), material=number)


def _quantized(case: GltfCase) -> None:
    positions = case.array((P * 2 * 32767).round().astype(np.int16), normalized=True, padding=2)
    uv = case.array((UV * 65535).astype(np.uint16), normalized=True)
    case.primitive(positions, F, TEXCOORD_0=uv, material=case.textured(picture()))
    case.json["nodes"][0]["scale"] = [0.5] * 3
    case.require("KHR_mesh_quantization")


def _moved(case: GltfCase, info: dict, **transform) -> None:
    info = info | {"extensions": {"KHR_texture_transform": transform}}
    first = np.zeros_like(UV) if transform.get("texCoord") else UV
    case.primitive(P, F, TEXCOORD_0=first, TEXCOORD_1=UV, material=case.textured(picture(), info))
    case.require("KHR_texture_transform")


def _second_uv(case: GltfCase) -> None:
    material = case.textured(picture(), {"texCoord": 1})
    case.primitive(P, F, TEXCOORD_0=np.zeros_like(UV), TEXCOORD_1=UV, material=material)


def _image(case: GltfCase, kind: str) -> None:
    texture, extension = case.texture(picture(), kind), f"EXT_texture_{kind.lower()}"
    if kind != "JPEG":
        case.json["textures"][texture] = {"extensions": {extension: {"source": 0}}}
        case.require(extension)
    material = case.material(pbrMetallicRoughness={"baseColorTexture": {"index": texture}})
    case.primitive(P, F, TEXCOORD_0=UV, material=material)


def _wrapped(case: GltfCase, across: int, down: int) -> None:
    material = case.textured(picture())
    case.json["samplers"] = [{"wrapS": across, "wrapT": down}]
    case.json["textures"][0]["sampler"] = 0
    case.primitive(P, F, TEXCOORD_0=(UV * 2.6 - 0.7).astype(np.float32), material=material)


def _sparse(case: GltfCase) -> None:
    at = _textured(case)["attributes"]["POSITION"]
    rows = np.arange(300, 420, dtype=np.uint16)
    indices = {"bufferView": case.view(rows.tobytes()), "componentType": 5123}
    values = {"bufferView": case.view((P[rows] * 1.4).astype(np.float32).tobytes())}
    case.json["accessors"][at]["sparse"] = {"count": len(rows), "indices": indices, "values": values}


def _two_materials(case: GltfCase) -> None:
    half = len(F) // 6 * 3
    case.primitive(P, F[:half], TEXCOORD_0=UV, material=case.textured(picture()))
    green = case.material(pbrMetallicRoughness={"baseColorFactor": [0.1, 0.5, 0.2, 1]})
    case.primitive(P, F[half:], material=green)


def _mirrored(case: GltfCase) -> None:
    _textured(case)
    case.json["nodes"] = [
        {"children": [1, 2], "scale": [1, 1, -1], "rotation": [0, 0.3826834, 0, 0.9238795]},
        {"mesh": 0, "translation": [0.7, 0, 0]},
        {"mesh": 0, "scale": [-0.5, 0.8, 0.5], "translation": [-0.4, 0.3, 0.2]},
    ]


def _skinned(case: GltfCase) -> None:
    share = np.clip(P[:, 1:2] / 0.8 + 0.5, 0, 1)
    weights = np.concatenate([1 - share, share, 0 * share, 0 * share], 1).astype(np.float32)
    joints = np.tile(np.array([0, 1, 0, 0], dtype=np.uint8), (len(P), 1))
    material = case.textured(picture())
    case.primitive(P, F, TEXCOORD_0=UV, JOINTS_0=joints, WEIGHTS_0=weights, material=material)
    unbind = np.eye(4, dtype=np.float32)[None].repeat(2, 0)
    unbind[0, 3, 1] = 0.4  # by columns: the first joint stands at the egg's lower end
    bent = {"translation": [0, 0.4, 0], "rotation": TURNED}
    case.json["nodes"] = [{"mesh": 0, "skin": 0}, {"translation": [0, -0.4, 0], "children": [2]}, bent]
    case.json["scenes"] = [{"nodes": [0, 1]}]
    case.json["skins"] = [{"joints": [1, 2], "inverseBindMatrices": case.array(unbind.reshape(2, 16))}]


def _morphed(case: GltfCase) -> None:
    taller = (P * [0, 0.8, 0]).astype(np.float32)
    wider = np.where(P[:, :1] > 0, [[0.4, 0, 0]], [[0, 0, 0]]).astype(np.float32)
    _textured(case)["targets"] = [{"POSITION": case.array(taller)}, {"POSITION": case.array(wider)}]
    case.json["meshes"][0]["weights"] = [0.7, 0.2]
    case.json["nodes"][0]["weights"] = [0.5, 1]


def _instances(case: GltfCase) -> None:
    _textured(case)
    rows = {
        "TRANSLATION": [[0, 0, 0], [1.1, 0, 0], [0, 0.9, 0.5]],
        "ROTATION": [[0, 0, 0, 1], [0, 0.3826834, 0, 0.9238795], [0.3826834, 0, 0, 0.9238795]],
        "SCALE": [[1, 1, 1], [0.5, 1, 0.5], [1, 0.6, 1]],
    }
    arrays = {name: case.array(np.array(values, dtype=np.float32)) for name, values in rows.items()}
    case.json["nodes"][0]["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": arrays}}
    case.require("EXT_mesh_gpu_instancing")


def _unlit(case: GltfCase) -> None:
    _textured(case, extensions={"KHR_materials_unlit": {}})
    case.require("KHR_materials_unlit")


def _strips(case: GltfCase) -> None:
    material, wide = case.textured(picture()), 2 * ROWS + 1
    for row in range(ROWS):
        zigzag = row * wide + np.array([[column, column + wide] for column in range(wide)])
        case.primitive(P, zigzag.reshape(-1).astype(np.uint16), TEXCOORD_0=UV, mode=5, material=material)


def _points_too(case: GltfCase) -> None:
    _textured(case)
    case.primitive(P * 3, mode=0)


GRAY = Image.fromarray((np.mgrid[0:128, 0:256][1] * 257).astype(np.uint16))
GALLERY: dict[str, Callable[[GltfCase], object]] = {
    "color_float": lambda case: _colored(case, COLORS, [0.5, 1, 0.8, 1], textured=False, normalized=False),
    "color_bytes": lambda case: _colored(case, (COLORS * 255).astype(np.uint8), [1.0] * 4, textured=True),
    "color_shorts": lambda case: _colored(case, (COLORS * 65535).astype(np.uint16), [0.9, 0.6, 0.4, 1], textured=True),
    "quantized": _quantized,
    "transform": lambda case: _moved(case, {}, offset=[0.2, 0.1], rotation=0.6, scale=[2, 1.5]),
    "second_uv": _second_uv,
    "transform_names_uv": lambda case: _moved(case, {"texCoord": 0}, texCoord=1, scale=[0.5, 0.5]),
    **{kind.lower(): lambda case, kind=kind: _image(case, kind) for kind in ("WEBP", "AVIF", "JPEG")},
    "palette": lambda case: _textured(case, picture().quantize(32)),
    "gray_16_bit": lambda case: _textured(case, GRAY),
    "clamped": lambda case: _wrapped(case, CLAMP, CLAMP),
    "mirrored": lambda case: _wrapped(case, MIRROR, MIRROR),
    "repeated_and_mirrored": lambda case: _wrapped(case, REPEAT, MIRROR),
    "sparse": _sparse,
    "two_materials": _two_materials,
    "mirrored_nodes": _mirrored,
    "skin": _skinned,
    "morph": _morphed,
    "instances": _instances,
    "mask": lambda case: _textured(case, _with_holes(30), alphaMode="MASK", alphaCutoff=0.4),
    "soft_outlines": lambda case: _textured(case, _with_holes(4000), alphaMode="BLEND"),
    "unlit": _unlit,
    "one_sided": lambda case: case.primitive(P, F[: len(F) // 9 * 6], TEXCOORD_0=UV, material=case.textured(picture())),
    "strips": _strips,
    "points_too": _points_too,
}


def write_gallery(folder: Path) -> list[Path]:
    """The files of the gallery, by name."""
    paths = []
    for name, build in GALLERY.items():
        case = GltfCase()
        build(case)
        paths.append(case.save(folder / f"{name}.glb"))
    return paths
