"use strict";
// View against mesh: thumbnails pick the view, the slider says where one ends and the other begins.
const cut = document.getElementById("cut");
if (cut) {
  const panes = document.getElementById("panes");
  const move = (share) => {
    cut.value = share;
    panes.style.setProperty("--cut", share + "%");
  };
  cut.addEventListener("input", () => move(cut.value));
  const drag = (event) => {
    const box = panes.getBoundingClientRect();
    move(Math.max(0, Math.min(100, ((event.clientX - box.left) / box.width) * 100)));
  };
  panes.addEventListener("pointerdown", (event) => {
    panes.setPointerCapture(event.pointerId);
    drag(event);
  });
  panes.addEventListener("pointermove", (event) => {
    if (event.buttons) drag(event);
  });
  const show = (choice) => {
    const picture = choice.parentElement.querySelector("img");
    const [view, mesh] = [document.getElementById("pane-view"), document.getElementById("pane-mesh")];
    view.src = picture.src;
    view.alt = "View " + choice.dataset.name;
    mesh.src = picture.dataset.mesh;
    mesh.alt = "The mesh from the camera of view " + choice.dataset.name;
    document.getElementById("pane-facts").textContent = choice.dataset.facts;
  };
  for (const choice of document.querySelectorAll("input[name=view]")) {
    choice.addEventListener("change", () => show(choice));
    if (choice.checked) show(choice);
  }
}

const copy = document.getElementById("copy");
copy.addEventListener("click", async () => {
  const command = document.getElementById("command");
  try {
    await navigator.clipboard.writeText(command.textContent);
    copy.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(command); // some browsers keep the clipboard from files: then it is selected
    copy.textContent = "Selected";
  }
  setTimeout(() => (copy.textContent = "Copy"), 2000);
});
