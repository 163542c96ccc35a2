"""The few hot loops, one file an operation: torch reference, numba (CPU), later triton (GPU)."""
