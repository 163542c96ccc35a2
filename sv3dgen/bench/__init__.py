"""Speed and quality, measured: `python -m sv3dgen.bench --help` lists the benches."""
