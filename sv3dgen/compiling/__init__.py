"""Hot loops that numba compiles: kept between runs, and compiled ahead of need."""
