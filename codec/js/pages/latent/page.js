// A latent to look into: a map of codes, sliders, the decoded item. `?model=URL&vectors=URL` opens both at once.
import { Autoencoder } from "../../dist/latent.js";
import { openAsked, takeDrops } from "../files.js";
import { codesOf, spreadOf } from "./codes.js";
import { drawItems, filmOf } from "./drawing.js";
import { CodeMap, NEAR } from "./map.js";

const part = (id) => document.getElementById(id);
const map = new CodeMap(part("map"));
const STEPS = 9; // pictures of a strip
const REST = 150; // milliseconds without a change after which the strip is drawn
const REACH = 2.5; // deviations that sliders and strips go
const SLIDERS = 64;
let model = null;
let given = null; // text of codes that came before the model
let codes = { vectors: [], labels: null };
let spread = null;
let code = null;
let ends = [null, null];
let stale = true; // what is decoded is not the code's
let strip = null; // the one that is to be drawn: since when, and its items so far
let times = [];

function say(what, wrong = false) {
  part("says").textContent = what;
  part("says").classList.toggle("wrong", wrong);
}

async function open(file, name) {
  try {
    if (/\.aezm$/i.test(name)) {
      model = await Autoencoder.open(file);
      codes = { vectors: [], labels: null };
    } else given = await file.text();
    if (!model) return say("Codes are here; a model is missing.");
    if (given !== null) {
      const text = given;
      given = null;
      codes = codesOf(text, model.dimensions);
    }
    begin();
  } catch (error) {
    say(error.message, true);
  }
}

function begin() {
  spread = spreadOf(codes.vectors, model.dimensions);
  code = Float32Array.from(spread.mean);
  ends = [null, null];
  part("explorer").hidden = false;
  part("share").disabled = part("save-way").disabled = true;
  const order = [...spread.deviation.keys()].sort((one, other) => spread.deviation[other] - spread.deviation[one]);
  const choices = () => order.map((at) => new Option(`number ${at + 1}`, at));
  for (const [id, place] of [
    ["across", 0],
    ["up", 1],
    ["swept", 0],
  ]) {
    part(id).replaceChildren(...choices());
    part(id).selectedIndex = Math.min(place, order.length - 1);
  }
  part("sliders").replaceChildren(...order.slice(0, SLIDERS).map(slider));
  const points = codes.vectors.length ? `${codes.vectors.length} points` : "no points; the map spans a prior";
  const by = model.shape.join(" x ");
  say(`${model.name}: ${model.kind} of ${by} in ${model.dimensions} numbers, family ${model.family}; ${points}.`);
  showMap();
  const dots = map.names.slice(0, 20).map((name) => {
    const dot = document.createElement("span");
    dot.style.setProperty("--dot", map.colourOf(name));
    dot.textContent = name;
    return dot;
  });
  part("legend").replaceChildren(...dots);
  for (const button of [part("from"), part("to")])
    drawItems(button.querySelector("canvas"), model, [model.decode(code)]);
  moved();
}

function slider(at) {
  const label = document.createElement("label");
  const input = Object.assign(document.createElement("input"), { type: "range", step: "any" });
  const [mean, deviation] = [spread.mean[at], spread.deviation[at]];
  input.min = mean - REACH * deviation;
  input.max = mean + REACH * deviation;
  input.dataset.at = at;
  input.oninput = () => {
    code[at] = input.valueAsNumber;
    moved();
  };
  const value = document.createElement("output");
  label.append(`no. ${at + 1}`, input, value);
  return label;
}

function showMap() {
  map.show(codes, spread, [Number(part("across").value), Number(part("up").value)]);
  stale = true;
}

/** The code has changed: it is shown with the next frame, however often it changes before. */
function moved() {
  stale = true;
  restrip();
}

function showNumbers() {
  for (const input of part("sliders").querySelectorAll("input")) {
    input.value = code[input.dataset.at];
    input.nextElementSibling.textContent = code[input.dataset.at].toFixed(2);
  }
}

/** The strip is to be drawn anew, once the code rests. */
function restrip() {
  strip = { since: performance.now(), items: [] };
}

function between(share) {
  return ends[0].map((value, at) => value + share * (ends[1][at] - value));
}

/** The code with another value of the number of the strip, from -1 to 1 of its reach. */
function swept(share) {
  const at = Number(part("swept").value);
  const other = Float32Array.from(code);
  other[at] = spread.mean[at] + share * REACH * spread.deviation[at];
  return other;
}

function frame() {
  if (model && stale) {
    stale = false;
    showNumbers();
    const start = performance.now();
    drawItems(part("picture"), model, [model.decode(code)]);
    times = [...times.slice(-29), performance.now() - start];
    const median = [...times].sort((one, other) => one - other)[times.length >> 1];
    part("time").textContent = `decoded and drawn in ${median.toFixed(1)} ms`;
    map.draw(code, ...ends);
  } else if (model && strip && performance.now() - strip.since > REST) {
    // One item a frame, so that a slider that moves again is never late.
    strip.items.push(model.decode(swept((2 * strip.items.length) / (STEPS - 1) - 1)));
    if (strip.items.length === STEPS) {
      drawItems(part("strip"), model, strip.items);
      strip = null;
    }
  }
  requestAnimationFrame(frame);
}

function setEnd(which) {
  ends[which] = Float32Array.from(code);
  drawItems(part(which ? "to" : "from").querySelector("canvas"), model, [model.decode(code)]);
  const both = ends.every(Boolean);
  part("share").disabled = part("save-way").disabled = !both;
  part("share").value = which;
  stale = true;
}

async function save(name, itemAt, button) {
  button.disabled = true;
  say("Recording a film of 4 seconds.");
  try {
    const film = await filmOf(model, itemAt);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(film);
    link.download = `${model.name}-${name}.webm`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved ${link.download}, ${film.size} bytes.`);
  } catch (error) {
    say(error.message, true);
  }
  button.disabled = false;
}

function placeOf(event) {
  const box = part("map").getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

let pressed = null;
let along = false; // whether the way between the two pictures is followed
part("map").onpointerdown = (event) => {
  pressed = placeOf(event);
  along = ends.every(Boolean) && map.wayFrom(...pressed, ...ends).away < NEAR;
  part("map").setPointerCapture(event.pointerId);
};
part("map").onpointermove = (event) => {
  if (!pressed) return;
  const place = placeOf(event);
  if (Math.hypot(place[0] - pressed[0], place[1] - pressed[1]) < 3) return;
  if (along) {
    part("share").value = map.wayFrom(...place, ...ends).share;
    code = between(part("share").valueAsNumber);
    moved();
    return;
  }
  for (const axis of [0, 1]) code[map.axes[axis]] = map.value(place[axis], axis);
  moved();
};
part("map").onpointerup = (event) => {
  const place = placeOf(event);
  if (pressed && Math.hypot(place[0] - pressed[0], place[1] - pressed[1]) < 3) {
    const number = map.nearest(...place);
    if (number === null) for (const axis of [0, 1]) code[map.axes[axis]] = map.value(place[axis], axis);
    else code = Float32Array.from(codes.vectors[number]);
    moved();
  }
  pressed = null;
};
part("map").onkeydown = (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 1], ArrowDown: [1, -1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = map.axes[step[0]];
  code[at] += 0.1 * step[1] * spread.deviation[at];
  moved();
};
part("across").onchange = part("up").onchange = showMap;
part("swept").onchange = restrip;
part("zero").onclick = () => {
  code = Float32Array.from(spread.mean);
  moved();
};
part("from").onclick = () => setEnd(0);
part("to").onclick = () => setEnd(1);
part("share").oninput = ({ target }) => {
  code = between(target.valueAsNumber);
  moved();
};
part("save-way").onclick = ({ target }) => save("way", (share) => model.decode(between(share)), target);
part("save-sweep").onclick = ({ target }) => save("sweep", (share) => model.decode(swept(2 * share - 1)), target);
part("files").onchange = async ({ target }) => {
  for (const file of target.files) await open(file, file.name);
};
addEventListener("resize", () => {
  if (model) showMap();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  stale = true;
  restrip();
});
takeDrops(part("drop"), open);
await openAsked(["model", "vectors"], open, say);
requestAnimationFrame(frame);
