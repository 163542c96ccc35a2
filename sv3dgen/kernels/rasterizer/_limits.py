"""Numbers that all versions of the rasterizer have in common."""

SUBPIXEL_BITS = 12  # of the grid that corners are snapped to
ONE_PX, HALF_PX = 1 << SUBPIXEL_BITS, 1 << (SUBPIXEL_BITS - 1)
LIMIT_PX = 16384.0  # keeps the products of two coordinate differences inside 64 bits
SMALLEST_SUM = 1e-30  # below it a triangle is seen exactly edge-on: its coordinates are 1/3 each, without a gradient
