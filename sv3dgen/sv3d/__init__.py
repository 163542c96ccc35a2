"""SV3D (arXiv 2403.12008): one picture and an orbit in, the views of the orbit out."""
