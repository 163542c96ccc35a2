"""The few hot loops, one folder or file an operation: torch reference, numba (CPU), triton (GPU)."""
