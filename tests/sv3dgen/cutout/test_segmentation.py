"""What tells an object from its ground: sharp edges, and where open ground ends."""

import numpy as np

from sv3dgen.cutout.segmentation import open_ground, sharp_edges


def test_steps_are_sharp_and_ramps_are_not():
    picture = np.zeros((60, 100, 3), dtype=np.float32)
    picture[:, 30:] = 60
    picture += np.clip((np.arange(100) - 60) * 4, 0, 100)[:, None]
    sharp = sharp_edges(picture)
    assert sharp[20:40, 29:31].all() and not sharp[20:40, 45:].any()


def test_open_ground_does_not_leak_through_cracks():
    passable = np.ones((200, 200), dtype=bool)
    passable[60:140, 60:140] = False
    passable[64:136, 64:136] = True  # a room
    passable[98:101, :70] = True  # with a crack in its wall
    ground = open_ground(passable)
    assert ground[10, 10] and ground[50, 100] and not ground[100, 100]
