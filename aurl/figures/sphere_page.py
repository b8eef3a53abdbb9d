"""Figure 1 to turn by hand: one page that holds everything it needs, and opens without a network."""

import json

import numpy as np

PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Classes on a sphere</title>
<style>
  :root { color-scheme: light dark; --page: #fff; --ink: #222; --faint: #bbb; --right: #0173b2; --wrong: #c03d00;
          --star: #de8f05; }
  @media (prefers-color-scheme: dark) {
    :root { --page: #16181c; --ink: #e8e8e8; --faint: #5c6067; --right: #56b4e9; --wrong: #ff8a5c; --star: #f0b341; }
  }
  body { margin: 0 auto; padding: 0.5rem; max-width: 80rem; background: var(--page); color: var(--ink);
         font: 1rem/1.4 system-ui, sans-serif; }
  main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 0.5rem; }
  h2 { margin: 0; font-size: 1rem; font-weight: normal; text-align: center; white-space: pre-line; }
  canvas { display: block; width: 100%; aspect-ratio: 1; cursor: grab; touch-action: pan-y; }
  p { margin: 0.3rem 0; text-align: center; }
  output { font-weight: bold; }
  b.right { color: var(--right); } b.wrong { color: var(--wrong); } b.star { color: var(--star); }
</style>
<main></main>
<p><output aria-live="polite">Drag to turn, or use the arrow keys. Point at anything for its name.</output></p>
<p><b class="right">&#9679;</b> a video, nearest to its own class name &ensp;
   <b class="wrong">&#10005;</b> a video, nearer to another &ensp;
   <b class="star">&#9733;</b> a class name</p>
<script id="data" type="application/json">DATA</script>
<script>
"use strict";
const {names, panels} = JSON.parse(document.getElementById("data").textContent);
const said = document.querySelector("output"), look = getComputedStyle(document.documentElement);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const wide = -Math.PI / 3, high = Math.PI / 9;  /* from where the picture in print is seen */
/* Rows: the directions on the screen to the right, up, and toward the reader. All panels turn together. */
let view = [[-Math.sin(wide), Math.cos(wide), 0],
            [-Math.cos(wide) * Math.sin(high), -Math.sin(wide) * Math.sin(high), Math.cos(high)],
            [Math.cos(wide) * Math.cos(high), Math.sin(wide) * Math.cos(high), Math.sin(high)]];
let asked = false;

function turn(across, down) {
  const mix = (a, b, angle) => [a.map((x, i) => x * Math.cos(angle) + b[i] * Math.sin(angle)),
                                b.map((x, i) => x * Math.cos(angle) - a[i] * Math.sin(angle))];
  [view[0], view[2]] = mix(view[0], view[2], across);
  [view[2], view[1]] = mix(view[2], view[1], down);
  ask();
}

function ask() {  /* a frame is drawn only after something has changed */
  if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; panels.forEach(draw); }); }
}

const circles = [];
for (let i = 0; i < 12; i++) {
  const [c, s] = [Math.cos(i * Math.PI / 12), Math.sin(i * Math.PI / 12)], tall = -1 + (i + 1) / 6.5;
  const turns = [...Array(61).keys()].map(k => [Math.cos(k * Math.PI / 30), Math.sin(k * Math.PI / 30)]);
  circles.push(turns.map(([a, b]) => [c * a, s * a, b]));
  circles.push(turns.map(([a, b]) => [a * Math.sqrt(1 - tall * tall), b * Math.sqrt(1 - tall * tall), tall]));
}

function draw(panel) {
  const {canvas} = panel, side = canvas.clientWidth, pen = canvas.getContext("2d"), dense = devicePixelRatio || 1;
  if (canvas.width !== Math.round(side * dense)) canvas.width = canvas.height = Math.round(side * dense);
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, side, side);
  const color = name => look.getPropertyValue("--" + name), radius = side * 0.4;
  const place = p => [side / 2 + radius * dot(view[0], p), side / 2 - radius * dot(view[1], p), dot(view[2], p)];
  const path = points => { pen.beginPath(); points.forEach(([x, y]) => pen.lineTo(x, y)); pen.stroke(); };
  pen.lineWidth = 0.5;
  pen.strokeStyle = color("faint");
  circles.forEach(circle => path(circle.map(place)));
  pen.lineWidth = 0.8;
  panel.video.forEach((p, i) => path([place(p), place(panel.classes[panel.labels[i]])]));
  const videos = panel.video.map((p, i) => {
    const own = panel.labels[i], near = panel.nearest[i];
    return {at: place(p), kind: own === near ? "right" : "wrong",
            text: "a video of " + names[own] + (own === near ? "" : ", nearer to " + names[near])};
  });
  const stars = panel.classes.map((p, i) => ({at: place(p), kind: "star", text: names[i]}));
  panel.points = [...videos, ...stars].sort((a, b) => a.at[2] - b.at[2]);
  for (const {at: [x, y, z], kind, text} of panel.points) {
    pen.globalAlpha = z < 0 ? 0.4 : 1;
    pen.fillStyle = pen.strokeStyle = color(kind);
    pen.beginPath();
    if (kind === "right") { pen.arc(x, y, 3.5, 0, 7); pen.fill(); }
    else if (kind === "wrong") {
      pen.lineWidth = 2;
      for (const d of [4, -4]) { pen.moveTo(x - 4, y - d); pen.lineTo(x + 4, y + d); }
      pen.stroke();
    } else {
      for (let k = 0; k < 10; k++) {
        const far = k % 2 ? 4 : 10, angle = k * Math.PI / 5;
        pen.lineTo(x + far * Math.sin(angle), y - far * Math.cos(angle));
      }
      pen.fill();
      pen.lineWidth = 3;
      pen.font = "13px system-ui, sans-serif";
      pen.textAlign = x < 80 ? "left" : x > side - 80 ? "right" : "center";
      pen.strokeStyle = color("page");
      pen.fillStyle = color("ink");
      pen.strokeText(text, x, y - 13);
      pen.fillText(text, x, y - 13);
    }
  }
  pen.globalAlpha = 1;
}

function name(panel, x, y, best = 14) {  /* pixels that a finger may miss by */
  let found = null;
  for (const point of panel.points) {
    const far = Math.hypot(point.at[0] - x, point.at[1] - y) + (point.at[2] < 0 ? 5 : 0);
    if (far < best) [best, found] = [far, point];
  }
  if (found) said.textContent = found.text;
}

for (const panel of panels) {
  const box = document.createElement("section"), title = document.createElement("h2");
  const canvas = panel.canvas = document.createElement("canvas");
  title.textContent = panel.title;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", panel.title + ". Classes: " + names.join(", "));
  box.append(title, canvas);
  document.querySelector("main").append(box);
  canvas.addEventListener("pointerdown", event => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", event => {
    if (event.buttons) turn(event.movementX / canvas.clientWidth * 3, event.movementY / canvas.clientWidth * 3);
  });
  for (const kind of ["pointermove", "pointerdown"])
    canvas.addEventListener(kind, event => name(panel, event.offsetX, event.offsetY));
  canvas.addEventListener("keydown", event => {
    const step = {ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1]}[event.key];
    if (!step) return;
    event.preventDefault();
    turn(...step);
    draw(panel);
    name(panel, canvas.clientWidth / 2, canvas.clientWidth / 2, Infinity);  /* what is nearest to the middle */
  });
}
addEventListener("resize", ask);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", ask);
panels.forEach(draw);
</script>
</html>
"""


def page(panels, names):
    """The page as text, of what `aurl.figures.sphere` takes: features (N, 3) and (C, 3) by title, and C names."""
    drawn = []
    for title, features in panels.items():
        video, classes = np.asarray(features["video"], float), np.asarray(features["classes"], float)
        drawn.append(
            {
                "title": title,
                "video": video.round(4).tolist(),
                "classes": classes.round(4).tolist(),
                "labels": features["labels"].tolist(),
                "nearest": (video @ classes.T).argmax(axis=1).tolist(),
            }
        )
    data = json.dumps({"names": list(names), "panels": drawn}, separators=(",", ":"))
    return PAGE.replace("DATA", data.replace("<", "\\u003c"))  # no name can end the element that holds it
