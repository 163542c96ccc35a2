"""Posed views of an object: cameras, orbits, pictures and the silhouettes' hull."""
