"""Endless textured objects made of nothing but a seed."""
