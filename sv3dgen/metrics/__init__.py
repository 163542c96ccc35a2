"""Numbers that say how good a mesh or a picture is."""
