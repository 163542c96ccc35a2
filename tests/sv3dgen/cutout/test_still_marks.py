"""Marks in films that are long and large: with no more memory than a part of the film takes."""

import tracemalloc

import numpy as np

from sv3dgen.cutout.still_marks import still_marks


def test_a_mark_is_found_whichever_rows_are_looked_at_together(monkeypatch):
    monkeypatch.setattr("sv3dgen.cutout.still_marks._CHUNK_BYTES", 1)
    rgba = np.zeros((8, 4, 40, 48), dtype=np.uint8)
    for index, frame in enumerate(rgba):
        frame[:, 10 : 20 + index, 20:30] = np.array([20 * index, 0, 0, 255])[:, None, None]  # the object
        frame[:, 2:6, 3:9] = np.array([9, 200, 9, 255])[:, None, None]
    cleared, (mark,) = still_marks(rgba)
    assert (mark.left, mark.top, mark.width, mark.height) == (2, 1, 8, 6)  # with a pixel around it
    assert mark.touching == 0 and not mark.on_axis
    assert cleared[:, 2:6, 3:9].all() and not cleared[:, 10:, 20:].any()


def test_an_object_of_one_color_takes_no_more_than_its_masks(monkeypatch):
    monkeypatch.setattr("sv3dgen.cutout.still_marks._CHUNK_BYTES", 2**20)
    rgba = np.full((64, 4, 160, 160), 255, dtype=np.uint8)
    tracemalloc.start()
    still_marks(rgba)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.7 * rgba[:, 0].nbytes + 6 * 2**20  # what is kept and what is cleared; and a few rows' colors
