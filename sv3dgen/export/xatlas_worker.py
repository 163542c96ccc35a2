"""Unwrap with xatlas in a process of its own, because its C++ loop can't be interrupted: `worker.py IN.npz OUT.npz`.

Run by path, so that it needs nothing of this package and starts in a fraction of a second.
"""

import sys

import numpy as np
import xatlas


def main(source: str, target: str) -> None:
    """Read vertices, faces and sizes; write texture coordinates and the rows of them that each face uses."""
    given = np.load(source)
    atlas = xatlas.Atlas()
    atlas.add_mesh(given["vertices"], given["faces"])
    packing = xatlas.PackOptions()
    packing.resolution = int(given["size_px"])
    packing.padding = int(given["gutter_px"])
    atlas.generate(xatlas.ChartOptions(), packing)
    _, uv_faces, uv = atlas[0]
    np.savez(target, uv=uv, uv_faces=uv_faces.astype(np.int64))


if __name__ == "__main__":
    main(*sys.argv[1:])
