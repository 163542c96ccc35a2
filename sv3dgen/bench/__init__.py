"""Speed and quality, measured: `python -m sv3dgen.bench kernels|stages|objects`."""
