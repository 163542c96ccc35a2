"""Triangles to pixels: rasterize, interpolate, antialias and texture, each with its torch reference and versions."""
