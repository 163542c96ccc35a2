"""Meshes: what they are, how they are read and checked, and where they come from."""
