// Scores a series as it comes and draws it. `?model=URL&csv=URL&speed=ROWS` opens both at once.
import { Detector } from "../../dist/series.js";
import { openAsked, takeDrops } from "../files.js";
import { brief, Chart } from "./chart.js";
import { reader, rowsOfCsv } from "./rows.js";

const part = (id) => document.getElementById(id);
const chart = new Chart(part("canvas"));
const BUDGET = 12; // ms of a frame that scoring may take
let detector = null;
let text = null;
let source = null; // rows of the file that are left
let waiting = []; // rows of the socket
let socket = null;
let playing = false;
let due = 0; // rows that should have been scored by now
let before = 0;
let loudest = 0;

function say(what, wrong = false) {
  part("says").textContent = what;
  part("says").classList.toggle("wrong", wrong);
}

/** The model or the file that was given; errors are told, and what was there stays. */
async function open(file, name) {
  try {
    if (/\.(aezm|onnx)$/i.test(name)) {
      detector = await Detector.open(file);
      say(`${detector.name}: ${detector.channels.length} channels in windows of ${detector.window} rows.`);
    } else {
      text = await file.text();
    }
    if (detector && text !== null) restart();
    else if (text !== null && !part("says").classList.contains("wrong")) say("Rows are here; a detector is missing.");
  } catch (error) {
    say(error.message, true);
  }
}

function restart() {
  const names = new Set(rowsOfCsv(text).next().value?.keys());
  const missing = detector.channels.filter((name) => !names.has(name));
  if (missing.length === detector.channels.length) {
    say(`The file has none of the detector's channels: ${missing.slice(0, 5).join(", ")}.`, true);
    return;
  }
  begin();
  source = rowsOfCsv(text);
  say(missing.length ? `The file lacks ${missing.join(", ")}, which count as missing.` : "Ready.");
  play(true);
}

function begin() {
  detector.finish();
  chart.clear(detector);
  source = null;
  waiting = [];
  loudest = 0;
  part("events").replaceChildren();
  part("chart").hidden = part("listed").hidden = false;
}

function play(on) {
  playing = on;
  before = performance.now();
  due = 0;
  part("play").disabled = part("all").disabled = !source;
  part("play").textContent = on ? "Pause" : "Play";
}

/** The next row, from the file or the socket. */
function next() {
  if (socket) return waiting.shift();
  const { value, done } = source.next();
  if (!done) return value;
  take(detector.finish());
  source = null;
  play(false);
  const count = chart.rows.at(-1)?.row + 1 || 0;
  say(`All ${count} rows are scored; the highest score is ${brief(loudest)}.`);
  return undefined;
}

function scoreOne(row) {
  const found = detector.push(row);
  if (found.score > loudest) loudest = found.score;
  const read = (name, at) => (row instanceof Map ? row.get(name) : row[at]);
  const values = detector.channels.map((name, at) => {
    const reading = read(name, at);
    const words = detector.words[name];
    if (words && typeof reading === "string") return words.indexOf(reading);
    return reading === "" || reading === null || reading === undefined ? Number.NaN : Number(reading);
  });
  chart.add(found, values);
  take(found.updates);
}

/** Events as lines of a list. */
function take(updates) {
  for (const { kind, event } of updates) {
    let line = document.querySelector(`[data-start="${event.start}"]`);
    if (!line) {
      line = document.createElement("li");
      line.dataset.start = event.start;
      part("events").append(line);
    }
    const blamed = event.channels.slice(0, 3).map(([name, share]) => `${name} ${Math.round(100 * share)} %`);
    line.className = kind === "closed" && !event.ongoing ? "" : "open";
    const how = event.ongoing ? " (goes on)" : "";
    line.textContent = `rows ${event.start} to ${event.end - 1}: ${event.severity}, peak ${brief(event.peak)}, ${blamed.join(", ")}${how}`;
    chart.events.set(event.start, event);
  }
}

function frame(now) {
  if (detector && playing && (source || socket)) {
    due = Math.min(due + ((now - before) / 1000) * Number(part("speed").value), 1e4);
    const until = performance.now() + BUDGET;
    try {
      while ((socket || due >= 1) && performance.now() < until && (socket || source)) {
        const row = next();
        if (row === undefined) break;
        scoreOne(row);
        due--;
      }
    } catch (error) {
      play(false);
      say(error.message, true);
    }
  }
  before = now;
  if (detector && !part("chart").hidden) chart.draw();
  requestAnimationFrame(frame);
}

part("play").onclick = () => play(!playing);
part("all").onclick = () => {
  play(false);
  try {
    while (source) {
      const row = next();
      if (row !== undefined) scoreOne(row);
    }
  } catch (error) {
    say(error.message, true);
  }
};
part("files").onchange = async ({ target }) => {
  for (const file of target.files) await open(file, file.name);
};
part("socket").onsubmit = (event) => {
  event.preventDefault();
  if (!detector) return say("Open a detector first.", true);
  connect(part("address").value);
};

function connect(address) {
  socket?.close();
  try {
    socket = new WebSocket(address);
  } catch {
    return say(`${address || "Nothing"} is no address of a WebSocket, such as ws://localhost:8765.`, true);
  }
  const mine = socket;
  const read = reader();
  begin();
  say(`Connecting to ${address}.`);
  mine.onopen = () => {
    say(`Connected to ${address}.`);
    play(true);
  };
  mine.onmessage = ({ data }) => {
    try {
      const row = read(String(data));
      if (row) waiting.push(row);
    } catch {
      say("A message was no row: an object, an array or a line of CSV.", true);
    }
  };
  mine.onclose = ({ wasClean }) => {
    if (mine !== socket) return;
    socket = null;
    for (const row of waiting) scoreOne(row);
    take(detector.finish());
    play(false);
    say(wasClean ? "The sender has ended the connection." : `There is no connection to ${address}.`, !wasClean);
  };
}

takeDrops(part("drop"), open);
const speed = new URLSearchParams(location.search).get("speed");
if (speed !== null) part("speed").append(new Option(speed, speed, true, true));
await openAsked(["model", "csv"], open, say);
requestAnimationFrame(frame);
