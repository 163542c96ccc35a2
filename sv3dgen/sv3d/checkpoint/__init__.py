"""SV3D's weights on disk: found, checked, read and written."""
