"""What one runs besides launch.py: each module here is `python -m sv3dgen.NAME`."""
