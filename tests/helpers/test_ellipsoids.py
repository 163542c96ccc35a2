"""The figure of the tests is in the pictures."""

from ellipsoids import silhouettes, sine_orbit


def test_silhouettes_helper_sees_the_figure():
    assert 0.05 < silhouettes(sine_orbit().cameras(size_px=32)).float().mean() < 0.5
