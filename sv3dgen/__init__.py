"""SV3D in the open: one photo of an object in, a textured, relightable mesh out."""
