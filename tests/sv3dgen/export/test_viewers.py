"""Other people's programs on the files: the Khronos validator, Blender, three.js. Skipped, and said so, where absent.

npm install gltf-validator three        and NODE_PATH=.../node_modules
apt install blender chromium
"""

import http.server
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from painted_box import BOTTOM, FRONT, RIGHT, SIZE, TOP, painted_box

from sv3dgen.export.formats import write_formats
from sv3dgen.export.origin import Origin

VALIDATE = (
    "const v=require('gltf-validator'),fs=require('fs');"
    "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))"
    ".then(r=>console.log(JSON.stringify(r.issues)))"
)
# Blender turns +Y up into its own +Z up, so that the front looks towards -Y.
IN_BLENDER = """
import bpy, json, mathutils, sys
bpy.ops.wm.read_factory_settings(use_empty=True)
path = sys.argv[-1]
{"glb": bpy.ops.import_scene.gltf, "obj": bpy.ops.wm.obj_import, "stl": bpy.ops.import_mesh.stl,
 "ply": bpy.ops.import_mesh.ply}[path.rpartition(".")[2]](filepath=path)
(object,) = [each for each in bpy.data.objects if each.type == "MESH"]
corners = [object.matrix_world @ vertex.co for vertex in object.data.vertices]
told = {"low": [min(c[i] for c in corners) for i in range(3)], "high": [max(c[i] for c in corners) for i in range(3)]}
told["name"] = object.name
if object.data.materials and object.data.uv_layers:
    (image,) = [n.image for n in object.data.materials[0].node_tree.nodes if n.type == "TEX_IMAGE"]
    told["space"], size, pixels = image.colorspace_settings.name, image.size, list(image.pixels)
    colors = {}
    for face in object.data.polygons:
        normal = (object.matrix_world.to_3x3() @ face.normal).normalized()
        uv = [sum(object.data.uv_layers[0].data[i].uv[axis] for i in face.loop_indices) / 3 for axis in (0, 1)]
        x, y = (min(int(share % 1 * length), length - 1) for share, length in zip(uv, size))
        colors[" ".join(str(round(part)) for part in normal).replace("-0", "0")] = pixels[4 * (y * size[0] + x):][:3]
    told["colors"] = colors
print("TOLD", json.dumps(told))
"""
IN_THREE = """<!doctype html><meta charset="utf-8">
<script type="importmap">{"imports": {"three": "/three/build/three.module.js"}}</script><script type="module">
import * as THREE from "three";
import { GLTFLoader } from "/three/examples/jsm/loaders/GLTFLoader.js";
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
renderer.setSize(64, 64);
const { scene, asset } = await new GLTFLoader().loadAsync("/mesh.glb");
const box = new THREE.Box3().setFromObject(scene), told = { low: box.min.toArray(), high: box.max.toArray() };
let mesh; scene.traverse(each => { if (each.isMesh) mesh = each; });
told.material = mesh.material.type; told.generator = asset.generator;
const camera = new THREE.OrthographicCamera(-0.05, 0.05, 0.05, -0.05, 0.1, 10), pixel = new Uint8Array(4);
for (const [name, place] of [["front", [0, 0, 2]], ["right", [2, 0, 0]], ["top", [0, 2, 1e-4]]]) {
  camera.position.set(...place); camera.lookAt(0, 0, 0); renderer.render(scene, camera);
  const gl = renderer.getContext(); gl.readPixels(32, 32, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  told[name] = [...pixel.slice(0, 3)];
}
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
</script>"""
IN_MODEL_VIEWER = """<!doctype html><meta charset="utf-8">
<script type="module" src="/@google/model-viewer/dist/model-viewer.min.js"></script>
<model-viewer src="/mesh.glb" loading="eager" style="width:64px;height:64px"></model-viewer><script type="module">
const viewer = document.querySelector("model-viewer"), told = {};
viewer.minCameraOrbit = "auto 0deg 2m"; viewer.maxCameraOrbit = "auto 180deg 2m";
if (!viewer.loaded) await new Promise(loaded => viewer.addEventListener("load", loaded));
const size = viewer.getDimensions(); told.high = [size.x / 2, size.y / 2, size.z / 2];
told.low = told.high.map(each => -each);
const canvas = document.createElement("canvas"), draw = canvas.getContext("2d", { willReadFrequently: true });
for (const [name, orbit] of [["front", "0deg 90deg 2m"], ["right", "90deg 90deg 2m"], ["top", "0deg 0deg 2m"]]) {
  viewer.cameraOrbit = orbit; viewer.jumpCameraToGoal(); await viewer.updateComplete;
  await new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)));
  const picture = new Image(); picture.src = viewer.toDataURL(); await picture.decode();
  canvas.width = picture.width; canvas.height = picture.height; draw.drawImage(picture, 0, 0);
  told[name] = [...draw.getImageData(picture.width / 2, picture.height / 2, 1, 1).data.slice(0, 3)];
}
await fetch("/told", { method: "POST", body: JSON.stringify(told) });
</script>"""
HALF = np.array(SIZE) / 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh")
    origin = Origin("python launch.py", {"views": "CC0"})
    write_formats(folder, ("obj", "ply", "stl", "3mf", "usdz"), painted_box(), size_mm=80.0, unlit=True, origin=origin)
    write_formats(folder / "lit", (), painted_box(), size_mm=80.0, unlit=False, origin=Origin())
    return folder


def node_with(package: str) -> str:
    node = shutil.which("node")
    found = node and not subprocess.run([node, "-e", f"require.resolve('{package}')"], capture_output=True).returncode
    if not node or not found:
        pytest.skip(f"needs node and the npm package {package} where node finds it (NODE_PATH)")
    return node


@pytest.mark.parametrize("name", ["mesh.glb", "lit/mesh.glb"])
def test_khronos_validator_finds_nothing(folder: Path, name: str) -> None:
    node = node_with("gltf-validator")
    told = subprocess.run([node, "-e", VALIDATE, folder / name], capture_output=True, text=True, check=True).stdout
    issues = json.loads(told)
    assert issues["numErrors"] == issues["numWarnings"] == issues["numInfos"] == 0, issues["messages"]


@pytest.mark.parametrize("form", ["glb", "obj", "ply", "stl"])
def test_blender_shows_front_size_and_texture(folder: Path, tmp_path: Path, form: str) -> None:
    blender = shutil.which("blender")
    if blender is None:
        pytest.skip("needs Blender: apt install blender")
    (tmp_path / "look.py").write_text(IN_BLENDER)
    command = [blender, "--background", "--factory-startup", "--python-exit-code", "1", "--python"]
    ran = subprocess.run(
        [*command, tmp_path / "look.py", "--", folder / f"mesh.{form}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    told = json.loads(ran.stdout.partition("TOLD ")[2].splitlines()[0])
    upright = HALF[[0, 2, 1]]  # width, depth, height
    low, high = {
        "stl": ([-20, -10, 0], [20, 10, 80]),
        "ply": (-HALF, HALF),  # whose reader turns nothing
    }.get(form, (-upright, upright))
    assert np.allclose(told["low"], low, atol=1e-4) and np.allclose(told["high"], high, atol=1e-4)
    if form in ("glb", "obj"):
        assert told["space"] == "sRGB"
        for side, color in (("0 -1 0", FRONT), ("1 0 0", RIGHT), ("0 0 1", TOP), ("0 0 -1", BOTTOM)):
            assert np.allclose(told["colors"][side], color, atol=0.01), side
    if form == "glb":
        assert told["name"] == "object"


@pytest.fixture
def served(folder: Path, tmp_path: Path) -> Iterator[tuple[str, queue.Queue]]:
    """The address of a folder with the pages, the GLB and npm's packages, and what the pages send back."""
    node = node_with("three")
    module = subprocess.run([node, "-p", "require.resolve('three')"], capture_output=True, text=True, check=True)
    for package in Path(module.stdout.strip()).parents[2].iterdir():
        (tmp_path / package.name).symlink_to(package)
    (tmp_path / "three.html").write_text(IN_THREE)
    (tmp_path / "model-viewer.html").write_text(IN_MODEL_VIEWER)
    shutil.copy(folder / "mesh.glb", tmp_path)
    told: queue.Queue = queue.Queue()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", told
        server.shutdown()


@pytest.mark.parametrize("viewer, package", [("three", "three"), ("model-viewer", "@google/model-viewer")])
def test_viewers_in_a_browser_show_front_size_and_colors(
    served: tuple[str, queue.Queue], tmp_path: Path, viewer: str, package: str
) -> None:
    node_with(package)
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs a browser: apt install chromium")
    flags = ["--headless", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags += ["--remote-debugging-port=0", f"--user-data-dir={tmp_path / 'profile'}"]  # the port keeps it running
    address, answers = served
    nowhere = subprocess.DEVNULL
    with subprocess.Popen([browser, *flags, f"{address}/{viewer}.html"], stdout=nowhere, stderr=nowhere) as running:
        try:
            told = answers.get(timeout=60)
        finally:
            running.terminate()
    assert np.allclose(told["low"], -HALF, atol=1e-4) and np.allclose(told["high"], HALF, atol=1e-4)
    for side, color in (("front", FRONT), ("right", RIGHT), ("top", TOP)):
        assert np.allclose(np.array(told[side]) / 255, color, atol=0.02), (side, told[side])
    if viewer == "three":
        assert told["material"] == "MeshBasicMaterial" and told["generator"].startswith("sv3dgen")
