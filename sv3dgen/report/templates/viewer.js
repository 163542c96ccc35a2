// What is around model-viewer: where the mesh comes from, the looks, the sides, and cameras that move together.
const viewers = [...document.querySelectorAll("model-viewer")];
const GRAY = [0.32, 0.32, 0.33, 1];
const UNLIT = "KHR_materials_unlit";
const files = new Map(); // of each mesh its addresses: unlit as the page holds it, and for the studio's light

function text(id) {
  return document.getElementById(id).textContent.trim();
}

function sources(id) {
  if (!files.has(id)) {
    const bytes = Uint8Array.from(atob(text(id)), (letter) => letter.charCodeAt(0));
    const address = (parts) => URL.createObjectURL(new Blob(parts, { type: "model/gltf-binary" }));
    files.set(id, { unlit: address([bytes]), studio: address(lightable(bytes)) });
  }
  return files.get(id);
}

// The same GLB without the extension that keeps light away: its JSON chunk is written anew.
function lightable(bytes) {
  const view = new DataView(bytes.buffer);
  const end = 20 + view.getUint32(12, true);
  const tree = JSON.parse(new TextDecoder().decode(bytes.subarray(20, end)));
  for (const material of tree.materials ?? []) delete material.extensions?.[UNLIT];
  tree.extensionsUsed = tree.extensionsUsed?.filter((name) => name !== UNLIT);
  if (!tree.extensionsUsed?.length) delete tree.extensionsUsed;
  const plain = new TextEncoder().encode(JSON.stringify(tree));
  const chunk = new Uint8Array(Math.ceil(plain.length / 4) * 4).fill(32);
  chunk.set(plain);
  const head = new DataView(bytes.slice(0, 20).buffer);
  head.setUint32(8, bytes.length - (end - 20) + chunk.length, true);
  head.setUint32(12, chunk.length, true);
  return [head, chunk, bytes.subarray(end)];
}

function chosenLook() {
  return document.querySelector("input[name=look]:checked")?.value ?? "albedo";
}

// Another look may need the mesh anew, since light is a property of its file; the camera stays where it is.
function look(viewer) {
  const name = chosenLook();
  const lighted = name === "studio" || name === "shape";
  const source = sources(viewer.dataset.glb)[lighted ? "studio" : "unlit"];
  viewer.toneMapping = lighted ? "neutral" : "none";
  if (viewer.src === source && viewer.loaded) {
    dress(viewer, name);
    return;
  }
  if (viewer.loaded) follow(viewer, viewer);
  viewer.src = source;
}

async function dress(viewer, name) {
  const lit = name === "lit" && viewer.dataset.lit ? await viewer.createTexture(text(viewer.dataset.lit)) : null;
  for (const material of viewer.model.materials) {
    const surface = material.pbrMetallicRoughness;
    const own = (material.own ??= { color: [...surface.baseColorFactor], texture: surface.baseColorTexture.texture });
    surface.baseColorTexture.setTexture(name === "shape" ? null : (lit ?? own.texture));
    surface.setBaseColorFactor(name === "shape" ? GRAY : own.color);
  }
}

// Put one viewer's camera where another's is.
function follow(other, viewer) {
  const { theta, phi, radius } = viewer.getCameraOrbit();
  const { x, y, z } = viewer.getCameraTarget();
  other.cameraTarget = `${x}m ${y}m ${z}m`;
  other.cameraOrbit = `${theta}rad ${phi}rad ${radius}m`;
  other.fieldOfView = `${viewer.getFieldOfView()}deg`;
  other.jumpCameraToGoal();
}

for (const viewer of viewers) {
  viewer.addEventListener("load", async () => {
    viewer.querySelector(".waiting")?.remove();
    await dress(viewer, chosenLook());
    const page = document.documentElement.dataset;
    page.shown = Number(page.shown ?? 0) + 1;
  });
  viewer.addEventListener("error", () => {
    const told = viewer.querySelector(".waiting");
    if (told) told.textContent = "This browser cannot draw the mesh here (it needs WebGL). The file is mesh/mesh.glb.";
  });
  viewer.addEventListener("camera-change", (event) => {
    if (event.detail.source !== "user-interaction") return;
    for (const other of viewers) if (other !== viewer && other.loaded) follow(other, viewer);
  });
  look(viewer);
}

for (const choice of document.querySelectorAll("input[name=look]")) {
  choice.addEventListener("change", () => viewers.forEach(look));
}
for (const button of document.querySelectorAll("button[data-orbit]")) {
  button.addEventListener("click", () => {
    for (const viewer of viewers) {
      viewer.cameraTarget = "auto auto auto";
      viewer.fieldOfView = "auto";
      viewer.cameraOrbit = button.dataset.orbit + " 105%";
    }
  });
}

const turning = document.getElementById("turning");
turning?.addEventListener("click", () => {
  const on = turning.getAttribute("aria-pressed") !== "true";
  turning.setAttribute("aria-pressed", on);
  for (const viewer of viewers) {
    viewer.autoRotate = on;
    viewer.autoRotateDelay = 0;
  }
});
const whole = document.getElementById("whole");
if (whole && document.fullscreenEnabled) {
  whole.hidden = false;
  whole.addEventListener("click", () => viewers[0].requestFullscreen());
}
