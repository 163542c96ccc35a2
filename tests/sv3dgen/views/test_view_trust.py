"""Which views a model made, and how far each is trusted, is written and read."""

import dataclasses
import json

import pytest
import torch
from ellipsoids import posed_views, sine_orbit

from sv3dgen.errors import InputError
from sv3dgen.views.posed_views import read_views, write_views


@pytest.fixture(scope="module")
def views():
    return posed_views(sine_orbit().cameras(size_px=96))


def test_trust_and_sources_survive_a_round_trip(views, tmp_path):
    small = tuple(views.resized(32).images[:20]) + (None,)
    given = dataclasses.replace(views, generated=(True,) * 20 + (False,), trust=(0.25,) + (1.0,) * 20, small=small)
    write_views(given, tmp_path)
    read = read_views(tmp_path)
    assert read.generated == given.generated and read.trust == given.trust and read.weighed
    assert read.own_px == (32,) * 20 + (96,)
    assert all(torch.equal(a, b) for a, b in zip(read.small[:20], small[:20], strict=True)) and read.small[20] is None
    assert torch.equal(read.images[20], views.images[20])
    assert read.cameras.width_px == 96
    torch.testing.assert_close(read.cameras.focal_px, views.cameras.focal_px, rtol=1e-6, atol=0)
    # Enlarged, the small ones are the large ones without their detail.
    over = [image[:, :3].float() * image[:, 3:] / 255 for image in (read.images, views.images)]
    assert (over[0] - over[1]).abs().mean() < 8
    picked = read[torch.tensor([0, 20])]
    assert picked.trust == (0.25, 1.0) and picked.generated == (True, False) and picked.small[1] is None
    assert read.resized(32).own_px == (32,) * 21 and read.resized(64).own_px == (32,) * 20 + (64,)


def test_views_of_photos_do_not_say_so(views, tmp_path):
    write_views(views, tmp_path)
    frame = json.loads((tmp_path / "transforms.json").read_text())["frames"][0]
    assert "source" not in frame and "trust" not in frame and not read_views(tmp_path).weighed


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("trust", 1.5, r"frames\[1\] \(001.png\): `trust` is 1.5, expected 0"),
        ("trust", "high", "`trust` is 'high', expected a finite number"),
        ("source", "painted", "`source` is 'painted', expected 'photo' or 'generated'"),
    ],
)
def test_trust_that_makes_no_sense_is_refused(views, tmp_path, key, value, told):
    write_views(views, tmp_path)
    path = tmp_path / "transforms.json"
    document = json.loads(path.read_text())
    document["frames"][1][key] = value
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=told):
        read_views(tmp_path)
