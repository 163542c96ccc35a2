"""The few hot loops, one file an operation: torch reference, numba (CPU), triton (GPU)."""
