"""Rays through a density: the call with its torch reference, and its versions."""
