"""Training of SV3D: its modules, batches and callbacks."""
