"""From an optimized surface and its colors to the files a person takes away."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from sv3dgen.atomic import atomic_write
from sv3dgen.domains import Between, Pixels, Share
from sv3dgen.errors import InputError
from sv3dgen.export.bake import ColorAt, bake
from sv3dgen.export.clean import clean
from sv3dgen.export.decimate import decimate
from sv3dgen.export.formats import Format, is_unlit, remove_others, write_formats
from sv3dgen.export.gltf import write_glb
from sv3dgen.export.origin import Origin
from sv3dgen.export.turntable import write_turntable
from sv3dgen.export.unseen_surface import seen_vertices, smoothed_unseen, unseen_share
from sv3dgen.export.unwrap import Unwrap, unwrap_by_projection, unwrap_by_xatlas
from sv3dgen.meshes.mesh import Mesh
from sv3dgen.meshes.textured_mesh import TexturedMesh, with_texture
from sv3dgen.meshes.topology import is_closed
from sv3dgen.views.cameras import Cameras


@dataclass(frozen=True)
class ExportReport:
    """What was written, for the run card and for the person who waits."""

    vertices: int
    faces: int
    watertight: bool  # every edge in exactly two faces after merging vertices of equal position
    charts: int
    unseen_share: float | None  # of the surface's area; None where nobody told the cameras
    seconds: Mapping[str, float]  # by part
    files: tuple[Path, ...]
    notes: tuple[str, ...]  # what went otherwise than asked, one line each


class Exporter:
    """Clean, decimate, unwrap, bake and write. Deterministic.

    `faces` is reached within 2 %; a mesh that has fewer keeps them. `unwrap` "projection" is fast; "xatlas" stretches
    less and gets `unwrap_limit_s` seconds, after which projection takes over. With `quiet_unseen` the surface that no
    camera sees is smoothed, and its colors continue those at its border. `smooth_doubts`, `photo_outline` and
    `photo_texels` are read by the caller, who has the surface and makes `color_at`: whether it is smoothed where
    generated views disagree about it, and whether a photo among them gives it its outline and its pixels. `lods` are
    numbers of faces: each gives one more GLB, decimated from the whole surface, unwrapped and baked anew. `size_mm` is
    the longest side in the formats that have a size (STL, 3MF, USDZ). `shading` "unlit" has viewers of GLB and USDZ
    add no light of theirs; "auto" does where the light is in the colors already. With `lamps` a GLB that is lit holds
    the fitted light, for viewers that take it.
    """

    def __init__(
        self,
        *,
        faces: Annotated[int, Between(100, 10000000)],
        texture_px: Annotated[int, Between(64, 8192)],
        loose_share: Share = 0.2,
        quiet_unseen: bool = True,
        smooth_doubts: bool = True,
        photo_outline: bool = True,
        photo_texels: bool = True,
        unwrap: Literal["projection", "xatlas"] = "projection",
        unwrap_limit_s: Annotated[float | int, Between(0.001, 86400.0)] = 20.0,
        turntable_frames: Annotated[int, Between(2, 1000)] = 72,
        turntable_px: Pixels = 400,
        formats: Sequence[Format] = ("glb", "obj"),
        lods: Sequence[Annotated[int, Between(100, 10000000)]] = (),
        size_mm: Annotated[float | int, Between(0.1, 100000.0)] = 100.0,
        shading: Literal["auto", "lit", "unlit"] = "auto",
        lamps: bool = False,
    ) -> None:
        if faces < 100:
            raise ValueError(f"export.faces={faces}: expected at least 100")
        if not 64 <= texture_px <= 8192:
            raise ValueError(f"export.texture_px={texture_px}: expected 64 to 8192")
        if unwrap not in ("projection", "xatlas"):
            raise ValueError(f"export.unwrap={unwrap}: expected projection or xatlas")
        if not unwrap_limit_s > 0:
            raise ValueError(f"export.unwrap_limit_s={unwrap_limit_s}: expected seconds above 0")
        if turntable_frames < 2 or turntable_px < 16:
            raise ValueError(
                f"export.turntable_frames={turntable_frames}, turntable_px={turntable_px}: 2 and 16 at least"
            )
        self.faces = faces
        self.texture_px = texture_px
        self.loose_share = loose_share
        self.quiet_unseen = quiet_unseen
        self.smooth_doubts = smooth_doubts
        self.photo_outline = photo_outline
        self.photo_texels = photo_texels
        self.unwrap = unwrap
        self.unwrap_limit_s = unwrap_limit_s
        self.turntable_frames = turntable_frames
        self.turntable_px = turntable_px
        self.formats = formats
        self.lods = lods
        self.size_mm = size_mm
        self.shading: Literal["auto", "lit", "unlit"] = shading
        self.lamps = lamps

    def export(
        self,
        surface: Mesh,
        color_at: ColorAt,
        folder: str | Path,
        light: dict,
        cameras: Cameras | None = None,
        *,
        masks: Bool[Tensor, "views height width"] | None = None,
        keep_unseen: bool = False,
        origin: Origin | None = None,
    ) -> ExportReport:
        """Write `mesh/mesh.FORMAT`, `mesh/lod_FACES.glb`, `light.json` and `turntable.mp4` into a run's folder.

        `color_at` gives the sRGB albedo at world points with unit normals; `light` is `Material.light()`; `cameras` are
        those that saw the object, and `masks` what they saw of it: loose parts that these need stay. `keep_unseen` says
        that what they don't see is known from elsewhere. `origin` is
        stamped into the files that can hold it.
        """
        folder, origin = Path(folder), origin or Origin()
        unlit = is_unlit(self.shading, light)
        watch = Stopwatch()
        notes: list[str] = []
        held = light if self.lamps else None
        if held is not None and light.get("tone_map") == "log":
            notes.append("export.lamps: glTF knows no logarithmic tone map, so the fitted light is left out of the GLB")
            held = None
        with torch.no_grad():
            seen_as = None if cameras is None or masks is None else (cameras.to("cpu"), masks.cpu())
            whole = clean(surface, self.loose_share, seen_as)
            if len(whole.faces) == 0:
                raise InputError("export: the surface has no faces, so there is nothing to write; are the poses right?")
            watch.lap("clean")
            mesh = decimate(whole, self.faces)
            notes += decimation_notes(whole, mesh, self.faces)
            watch.lap("decimate")
            seen = None if cameras is None else seen_vertices(mesh, cameras.to("cpu"))
            unseen = None if seen is None else unseen_share(mesh, seen)
            quiet = self.quiet_unseen and not keep_unseen
            if seen is not None and quiet:
                mesh = smoothed_unseen(mesh, seen)
            watch.lap("unseen")
            layout = self._unwrapped(mesh, notes)
            watch.lap("unwrap")
            texture = bake(mesh, layout, self.texture_px, color_at, seen if quiet else None)
            textured = with_texture(mesh, layout.uv, layout.uv_faces, texture)
            watch.lap("bake")
            remove_others(folder / "mesh", self.formats, self.lods)
            files = write_formats(
                folder / "mesh", self.formats, textured, size_mm=self.size_mm, unlit=unlit, origin=origin, light=held
            )
            files.append(write_light(folder, light))
            watch.lap("write")
            for faces in dict.fromkeys(self.lods):
                files.append(folder / "mesh" / f"lod_{faces}.glb")
                fewer = decimate(whole, faces)
                notes += decimation_notes(whole, fewer, faces, key="export.lods")
                baked = self._baked(fewer, color_at, cameras if quiet else None, notes)
                write_glb(files[-1], baked, unlit=unlit, origin=origin, light=held)
            if self.lods:
                watch.lap("lods")
            write_turntable(folder / "turntable.mp4", textured, self.turntable_px, self.turntable_frames)
            watch.lap("turntable")
        closed = is_closed(mesh)
        if not closed:
            notes.append("the mesh is not closed: some edges don't lie in exactly two faces")
        files = (*files, folder / "turntable.mp4")
        return ExportReport(
            len(mesh.vertices), len(mesh.faces), closed, layout.charts, unseen, watch.seconds, files, tuple(notes)
        )

    def _baked(self, mesh: Mesh, color_at: ColorAt, cameras: Cameras | None, notes: list[str]) -> TexturedMesh:
        """The mesh with a texture of its own; quiet where none of the cameras sees it, if they are given."""
        seen = None if cameras is None else seen_vertices(mesh, cameras.to("cpu"))
        mesh = mesh if seen is None else smoothed_unseen(mesh, seen)
        layout = self._unwrapped(mesh, notes)
        return with_texture(mesh, layout.uv, layout.uv_faces, bake(mesh, layout, self.texture_px, color_at, seen))

    def _unwrapped(self, mesh: Mesh, notes: list[str]) -> Unwrap:
        if self.unwrap == "xatlas":
            found = unwrap_by_xatlas(mesh, self.texture_px, self.unwrap_limit_s)
            if found is not None:
                return found
            notes.append(f"xatlas gave nothing within {self.unwrap_limit_s:g} s; unwrapped by projection instead")
        return unwrap_by_projection(mesh, self.texture_px)


class Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, name: str) -> None:
        """Book the time since the last lap."""
        now = perf_counter()
        self.seconds[name], self._last = now - self._last, now


def decimation_notes(whole: Mesh, mesh: Mesh, asked: int, key: str = "export.faces") -> list[str]:
    """One line where the number of faces is not the one that was asked for."""
    if len(whole.faces) < asked:
        return [f"the surface has {len(whole.faces)} faces, fewer than {key}={asked}: kept them all"]
    if abs(len(mesh.faces) - asked) > 0.02 * asked:
        return [f"decimated to {len(mesh.faces)} faces, {key}={asked} could not be met on this shape"]
    return []


def write_light(folder: Path, light: dict) -> Path:
    """What `Material.light()` tells, as `light.json`."""
    with atomic_write(folder / "light.json") as temporary:
        temporary.write_text(json.dumps(light, indent=2) + "\n")
    return folder / "light.json"
