"""Mesh files as the project draws them and as three.js does: how far apart the pictures are.

    npm install three
    PYTHONPATH=tests/helpers python tests/helpers/against_three.py node_modules [FILE.glb ...]

Of the files given, else of `gltf_gallery.py`. Three views each, base colors alone. Needs Chromium and playwright.
"""

import base64
import functools
import http.server
import io
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from browser import browser
from gltf_gallery import write_gallery
from PIL import Image
from scipy.ndimage import binary_erosion

from sv3dgen.meshes.files import read_mesh
from sv3dgen.renderers.textured import render_textured
from sv3dgen.views.cameras import look_at_origin

SIZE_PX, FOV_DEG = 384, 40.0
ELEVATION_DEG, AZIMUTH_DEG = torch.tensor([20.0, 35.0, -15.0]), torch.tensor([25.0, 140.0, 250.0])
PAGE = """<!doctype html><script type="importmap">
{"imports": {"three": "./modules/three/build/three.module.js", "addons/": "./modules/three/examples/jsm/"}}
</script><script type="module">
import * as T from "three";
import { GLTFLoader } from "addons/loaders/GLTFLoader.js";
import { DRACOLoader } from "addons/loaders/DRACOLoader.js";
const renderer = new T.WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
renderer.setSize(SIZE, SIZE); renderer.setClearColor(0, 0);
const draco = new DRACOLoader().setDecoderPath("./modules/three/examples/jsm/libs/draco/gltf/");
const loader = new GLTFLoader().setDRACOLoader(draco);
window.draw = async (url, views, target) => {
  const scene = new T.Scene(); scene.add((await loader.loadAsync(url)).scene);
  scene.traverse((one) => {
    if (!one.isMesh) { one.visible = !(one.isPoints || one.isLine); return; }
    const { map, color, vertexColors, alphaTest, transparent } = one.material;
    const plain = { map, color, vertexColors, alphaTest: alphaTest || (transparent ? 0.5 : 0), side: T.DoubleSide };
    one.material = new T.MeshBasicMaterial({ ...plain, toneMapped: false });
    if (map) { map.minFilter = T.LinearMipmapLinearFilter; map.anisotropy = 8; map.needsUpdate = true; }
    one.frustumCulled = false;
  });
  return views.map(({ at, distance }) => {
    const camera = new T.PerspectiveCamera(FOV, 1, distance / 20, distance * 4);
    camera.position.fromArray(at); camera.lookAt(...target); renderer.render(scene, camera);
    return renderer.domElement.toDataURL("image/png");
  });
};
window.ready = true;
</script>""".replace("SIZE", str(SIZE_PX)).replace("FOV", str(FOV_DEG))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None: ...


def compare(page: Any, path: Path, url: str) -> tuple[float, float]:
    """IoU of the silhouettes, and mean difference of the sRGB colors two pixels inside of both."""
    mesh = read_mesh(path)
    used = mesh.vertices[mesh.faces.reshape(-1)]
    low, high = used.min(0).values, used.max(0).values
    middle, distance = (low + high) / 2, 2.2 * float((high - low).max())
    cameras = look_at_origin(ELEVATION_DEG, AZIMUTH_DEG, distance=distance, fov_deg=FOV_DEG, size_px=SIZE_PX)
    poses = cameras.camera_to_world.clone()
    poses[:, :3, 3] += middle.to(poses.dtype)
    ours = render_textured(mesh, replace(cameras, camera_to_world=poses)).permute(0, 2, 3, 1).numpy()
    views = [{"at": pose[:3, 3].tolist(), "distance": distance} for pose in poses]
    drawn = page.evaluate("([url, views, target]) => window.draw(url, views, target)", [url, views, middle.tolist()])
    pictures = [Image.open(io.BytesIO(base64.b64decode(one.split(",")[1]))).convert("RGBA") for one in drawn]
    theirs = np.stack([np.asarray(picture, dtype=np.float32) / 255 for picture in pictures])
    mine, others = ours[..., 3] > 0.5, theirs[..., 3] > 0.5
    inside = np.stack([binary_erosion(both, iterations=2) for both in mine & others])
    difference = np.abs(ours[..., :3].clip(0, 1) - theirs[..., :3])[inside].mean()
    return float((mine & others).sum() / (mine | others).sum()), float(difference)


def main(modules: Path, files: list[Path]) -> None:
    """Print a line for each file."""
    with tempfile.TemporaryDirectory() as name, browser() as started:
        folder = Path(name)
        (folder / "page.html").write_text(PAGE)
        (folder / "modules").symlink_to(modules.resolve())
        for file in files:
            (folder / file.name).symlink_to(file.resolve())
        paths = [folder / file.name for file in files] or write_gallery(folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = started.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/page.html")
        page.wait_for_function("window.ready")
        for path in paths:
            print(f"{path.name:28} IoU %.3f, difference %.3f" % compare(page, path, f"/{path.name}"), flush=True)
        server.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
