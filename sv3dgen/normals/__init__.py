"""Normals of pictures: where they come from."""
