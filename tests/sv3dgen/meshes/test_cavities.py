import numpy as np

from sv3dgen.meshes import cavities
from sv3dgen.meshes.cavities import over, possible_cavities, wall_depth


def cylinder(cells: int = 40, radius: int = 14, low: int = 6, high: int = 32) -> np.ndarray:
    """A solid upright cylinder, [x, y, z]."""
    side = np.arange(cells) - (cells - 1) / 2
    disc = side[:, None] ** 2 + side**2 < radius**2
    solid = np.zeros((cells,) * 3, bool)
    solid[:, low:high] = disc[:, None]
    return solid


def test_a_cavity_is_what_lies_deeper_than_the_wall_and_is_open_to_the_sky():
    hull = cylinder()
    depth = wall_depth(hull, np.zeros_like(hull))
    (cavity,) = possible_cavities(hull, depth, wall_cells=3, opening_cells=2)
    assert cavity.cells[20, 31, 20] and cavity.cells[20, 10, 20]  # up to the rim, down to the floor
    assert not cavity.cells[:, :10].any()  # which is half as thick again as a wall of three cells
    side = np.arange(40) - 19.5
    reach = np.hypot(side[:, None], side)
    assert reach[cavity.cells.any(1)].max() < 14 - 3 + 1
    assert reach[~cavity.cells[:, 20]].min() > 14 - 3 - 1.5


def test_a_foot_seen_from_below_leaves_the_floor_its_wall():
    hull = cylinder()
    free = np.zeros_like(hull)
    free[13:27, 6:12, 13:27] = True  # under the floor, wide
    depth = wall_depth(hull, free)
    (cavity,) = possible_cavities(hull, depth, wall_cells=3, opening_cells=2)
    assert not cavity.cells[20, :16, 20].any() and cavity.cells[20, 16, 20]


def test_air_in_the_cavity_is_not_outside():
    hull = cylinder()
    free = np.zeros_like(hull)
    free[11:29, 20:32, 11:29] = True  # seen from above
    depth = wall_depth(hull, free)
    np.testing.assert_array_equal(depth, wall_depth(hull, np.zeros_like(hull)))


def test_walls_are_measured_from_the_surface_where_the_hull_stands_off_it():
    hull, solid = cylinder(radius=15), cylinder(radius=14)
    depth = wall_depth(hull, hull & ~solid)
    np.testing.assert_array_equal(depth[:, 20], wall_depth(solid, np.zeros_like(hull))[:, 20])
    assert (wall_depth(hull, np.zeros_like(hull)) > depth)[10:30, 20].any()


def test_an_opening_too_narrow_is_a_crevice():
    hull = cylinder()
    depth = wall_depth(hull, np.zeros_like(hull))
    assert not possible_cavities(hull, depth, wall_cells=12, opening_cells=4)


def test_over_is_above_the_highest_cell_of_a_column():
    hull = cylinder()
    above = over(hull)
    assert above[20, 32, 20] and not above[20, 31, 20] and not above[20, 2, 20] and not above[0].any()


def test_the_box_around_the_hull_is_enough_for_depths():
    draws = np.random.default_rng(0)
    hull = np.zeros((34, 30, 36), bool)
    hull[9:25, 8:22, 10:28] = draws.random((16, 14, 18)) < 0.9
    hull[12:20, 14:22, 14:22] = False  # a well
    free = draws.random(hull.shape) < 0.3
    in_all = cavities._wall_depth(hull, free)
    np.testing.assert_array_equal(wall_depth(hull, free)[hull], in_all[hull])
    low = np.s_[9:, 8:22, :28]  # the hull touches the box
    np.testing.assert_array_equal(wall_depth(hull[low], free[low]), cavities._wall_depth(hull[low], free[low]))
