"""Depths that the pictures themselves tell, by matching neighboring views, and what they say of space."""
