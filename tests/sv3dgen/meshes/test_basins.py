import numpy as np

from sv3dgen.meshes.basins import basins, tops


def tray(partition: bool) -> np.ndarray:
    """A block of 30 x 20 x 24 cells whose top is sunken by 5 within a rim of 3; and a partition as high as the rim."""
    solid = np.zeros((40, 40, 40), bool)
    solid[5:35, 5:25, 8:32] = True
    solid[8:32, 20:25, 11:29] = False
    if partition:
        solid[19:21, 20:25, 11:29] = True
    return solid


def found(solid: np.ndarray) -> list[np.ndarray]:
    return basins(solid, solid.any(1), least_cells=2)


def test_a_sunken_lid_is_a_basin_up_to_its_rim():
    (basin,) = found(tray(partition=False))
    assert basin[8:32, 11:29].all()
    assert not basin[:5].any() and not basin[5, 5] and basin.sum() <= 30 * 24


def test_a_partition_parts_two_basins():
    left, right = found(tray(partition=True))
    assert left[8:19, 11:29].all() and right[21:32, 11:29].all() and not (left & right).any()


def test_water_runs_off_what_is_flat_or_open_at_a_side():
    solid = tray(partition=False)
    solid[5:8, 20:25, 16:22] = False  # a gap in the rim
    assert not found(solid) and not found(solid[:, :20])


def test_what_is_shallow_or_small_is_no_basin():
    solid = tray(partition=False)
    solid[8:32, 20:24, 11:29] = True
    assert not found(solid)
    solid[10:12, 20:25, 12:14] = False
    assert not found(solid)


def test_tops_are_the_highest_cells():
    heights = tops(tray(partition=True))
    assert heights[0, 0] == -1 and heights[5, 8] == 24 and heights[10, 15] == 19
