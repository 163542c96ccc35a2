"""The end of a run: its surface as files, what they cost, and how they fit the views."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from sv3dgen.errors import InputError
from sv3dgen.export.doubtful_surface import faired, quieter
from sv3dgen.export.exporter import Exporter
from sv3dgen.export.moved_surface import between, way_back
from sv3dgen.export.origin import Origin, public_command
from sv3dgen.export.photo_outline import with_photo_outlines
from sv3dgen.export.photo_texels import albedo_with_photos, photo_texels
from sv3dgen.interfaces import Shading
from sv3dgen.meshes.mesh import Mesh, vertex_normals
from sv3dgen.report.pictures import write_pictures
from sv3dgen.runs.provenance import given_settings
from sv3dgen.runs.run_folder import RunCard
from sv3dgen.views.posed_views import PosedViews
from systems.disagreement import doubt_of_views
from systems.fit_report import report_fit
from systems.stage import Stage

log = logging.getLogger(__name__)


def export_mesh(
    exporter: Exporter, mesh: Mesh, shape: Stage, views: PosedViews, folder: Path, card: RunCard, *, keep_unseen: bool
) -> str | None:
    """Write what the last stage found, and book it; gives one line where it does not fit the views.

    `keep_unseen` keeps the surface that no view sees as it is: a model has had a say in it.
    """
    mesh = fitted = mesh.detach().to("cpu")
    if not len(mesh.faces):
        raise InputError("export: the surface has no faces, so there is nothing to write; are the poses right?")
    doubt = doubt_of_views(shape, mesh, views, keep_unseen=keep_unseen) if exporter.smooth_doubts else None
    if doubt is not None:
        mesh = faired(mesh, doubt)
        card.add_metrics(doubt=round(float(doubt.mean()), 4))
    if exporter.photo_outline:
        mesh = with_photo_outlines(mesh, views)
    photos = photo_texels(views, mesh) if exporter.photo_texels else []
    on_fitted = way_back(mesh, fitted)

    def shaded(points: Tensor, normals: Tensor) -> Shading:
        return shape.material(shape.geometry.features(points.to(shape.device)), normals.to(shape.device))

    change = None
    if doubt is not None and bool(doubt.any()):
        with torch.no_grad():
            colors = shaded(fitted.vertices, vertex_normals(fitted)).albedo.cpu()
        change = between(mesh, quieter(mesh, doubt, colors))

    def albedo(points: Tensor, normals: Tensor) -> Tensor:
        shading = shaded(on_fitted(points), normals)
        own = shading.albedo.cpu()
        if change is not None:
            own = (own + change(points)).clamp(0, 1)
        return albedo_with_photos(own, shading.irradiance.cpu(), photos, points, normals)

    light = shape.material.light()
    trusted = views[torch.tensor([index for index, trust in enumerate(views.trust) if trust])]
    origin = Origin(public_command(given_settings()), card.card["licences"])
    report = exporter.export(
        mesh,
        albedo,
        folder,
        light,
        trusted.cameras,
        masks=trusted.masks,
        keep_unseen=keep_unseen,
        origin=origin,
    )
    for note in report.notes:
        log.warning(note)
    fit, failed = report_fit(folder, views, light, card)
    card.add_metrics(
        psnr_train=round(fit.mean(fit.psnr), 3),
        vertices=report.vertices,
        faces=report.faces,
        watertight=report.watertight,
        charts=report.charts,
        unseen_share=round(report.unseen_share or 0.0, 4),
        **{f"seconds_{part}": round(seconds, 2) for part, seconds in report.seconds.items()},
    )
    write_pictures(folder, views, light, worst=fit.worst)
    return failed
