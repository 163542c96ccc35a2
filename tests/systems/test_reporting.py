"""How large the pictures of a run are drawn."""

from dataclasses import replace
from pathlib import Path

import lightning
import pytest

import systems.reporting
from systems.reporting import Pictures


class Module:
    geometry = material = None

    def __init__(self, views):
        self.views, self.drawn = views, []

    def renderer(self, geometry, material, cameras):
        self.drawn.append((len(cameras), cameras.height_px, cameras.width_px))

    def eval(self):
        pass

    train = eval


@pytest.mark.parametrize(
    ("most_px", "own_px", "few", "drawn_px"),
    [(48, 64, 0, 48), (192, 64, 0, 64), (192, 16, 11, 32), (24, 16, 11, 24), (192, 16, 1, 64)],
)
def test_pictures_are_twice_the_usual_view_at_most(posed_views, monkeypatch, most_px, own_px, few, drawn_px):
    assert posed_views.images.shape[2:] == (64, 64)
    monkeypatch.setattr(systems.reporting, "log_pictures", lambda *_, **__: None)
    monkeypatch.setattr(systems.reporting, "PICTURE_PX", most_px)
    small = (*posed_views.resized(own_px).images[:few], *[None] * (12 - few))  # as many have so few pixels
    module = Module(replace(posed_views, small=small))
    Pictures(Path(), 1).draw(lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu"), module)
    assert module.drawn == [(4, drawn_px, drawn_px)]
