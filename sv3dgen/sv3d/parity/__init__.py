"""Whether SV3D gives the numbers of the official code: `python -m sv3dgen.sv3d.parity`."""
