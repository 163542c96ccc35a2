import dataclasses

import torch

from sv3dgen.views.views_hull import hull_of_views
from sv3dgen.views.visual_hull import explained, voxel_centers

BOX = torch.tensor([[-0.62] * 3, [0.62] * 3])


def with_hole(views, *wrong: int):
    """The views, with the object missing in some of them but for a corner."""
    images = views.images.clone()
    for index in wrong:
        images[index, 3, :, :32] = 0
    return dataclasses.replace(views, images=images)


def cells(views, **settings) -> int:
    return int(hull_of_views(views, resolution=32, aabb=BOX, **settings).sum())


def test_photos_carve_exactly_and_generated_views_may_be_overruled(posed_views):
    whole = cells(posed_views)
    assert cells(with_hole(posed_views, 3)) < 0.9 * whole
    generated = dataclasses.replace(posed_views, generated=(True,) * 11 + (False,))
    assert cells(with_hole(generated, 3)) >= whole
    assert cells(with_hole(generated, 3), miss_votes=0) < 0.9 * cells(generated)
    # The photo is the last.
    assert cells(with_hole(generated, 11)) < 0.9 * cells(generated)


def test_what_a_photo_shows_is_there_whatever_generated_views_say(posed_views):
    generated = dataclasses.replace(posed_views, generated=(True,) * 11 + (False,))
    wrong = with_hole(generated, 2, 3, 4, 5)  # twice as many as may miss a voxel
    photo = wrong[11:]
    hull = hull_of_views(wrong, resolution=64, aabb=BOX)
    assert explained(photo.masks, photo.cameras, voxel_centers(hull, BOX)).item() > 0.98
    alone = hull_of_views(wrong[:11], resolution=64, aabb=BOX)
    assert explained(photo.masks, photo.cameras, voxel_centers(alone, BOX)).item() < 0.95
    # Nothing is added where the photo is explained already.
    assert int(hull.sum()) < int(hull_of_views(wrong, resolution=64, aabb=BOX, miss_votes=10).sum())


def test_a_view_without_trust_does_not_carve(posed_views):
    distrusted = dataclasses.replace(posed_views, trust=(1.0,) * 3 + (0.0,) + (1.0,) * 8)
    assert cells(with_hole(distrusted, 3)) >= cells(posed_views)
