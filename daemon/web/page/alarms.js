// What an event says of itself beyond its line: its rows as small curves, and what to do about its stream.

import { get, post } from "./api.js";
import { el } from "./dom.js";
import { clock, number } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 48;
const HOURS = { "1 h": 1, "8 h": 8, "1 day": 24, "1 week": 168 };

/** Why an event was not sent, in a word or two; empty where it was. */
export function heldText({ kind, event }) {
  if (event.muted) return `muted: ${event.muted}`;
  if (event.capped) return "not sent: the stream had its share of the day";
  if (event.incident && kind !== "incident") return "part of an incident";
  return "";
}

/** A channel to blame, with what was measured and expected. */
export function blameText(one) {
  const share = `${one.name} ${Math.round(100 * one.share)} %`;
  if (one.measured === undefined) return share;
  const unit = one.unit ? ` ${one.unit}` : "";
  const measured = one.measured === null ? "missing" : `${number(one.measured, 4)}${unit}`;
  const expected = one.expected === null ? "" : `, expected ${number(one.expected, 4)}${unit}`;
  return `${share} (${measured}${expected})`;
}

/** What else is to be said of an event. */
export function noteText({ kind, event }) {
  if (kind === "incident") return `${event.count.toLocaleString()} events (${event.cause}), ${event.open.toLocaleString()} open: ${event.examples.slice(0, 3).join(", ")}${event.count > 3 ? ", …" : ""}`;
  const said = [];
  if (event.reopened) said.push(`reopened ${event.reopened} ×`);
  if (event.changed) said.push("stays at this level");
  if (event.reason) said.push(`closed: ${event.reason}`);
  return said.join(", ");
}

function line(values) {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known);
  const high = Math.max(...known);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  let path = "";
  values.forEach((value, place) => {
    if (value === null) return;
    const x = (WIDTH * place) / Math.max(1, values.length - 1);
    const y = HEIGHT - 2 - ((HEIGHT - 4) * (value - low)) / (high - low || 1);
    path += `${path && values[place - 1] !== null ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path || "M0 0");
  svg.append(drawn);
  return { svg, range: known.length ? `${number(low)} to ${number(high)}` : "nothing" };
}

/** The rows of an event: its score, and its channels. Nothing where none are kept. */
export async function curves(id) {
  const curve = await get(`/api/events/${id}/curve`).catch(() => null);
  if (!curve) return null;
  const tracks = [{ name: "score, in limits", unit: "", values: curve.score }, ...curve.channels];
  const figures = tracks.map(({ name, unit, values }) => {
    const { svg, range } = line(values);
    svg.setAttribute("aria-label", `${name}: ${range} ${unit}`);
    return el("figure", {}, svg, el("figcaption", { className: "muted" }, `${name}: ${range} ${unit ?? ""}`));
  });
  const known = curve.time.filter((one) => one !== null);
  const times = el("p", { className: "muted" }, `${clock(known[0])} to ${clock(known.at(-1))}`);
  return el("div", { className: "curves" }, ...figures, times);
}

/** Buttons about the event's stream: mute it, and take its level where it moved for good. */
export function actions(event, who, say) {
  const long = el("select", { ariaLabel: "For how long" }, ...Object.keys(HOURS).map((name) => el("option", { value: name }, name)));
  const reason = el("input", { maxLength: 1000, required: true, placeholder: "Why?", ariaLabel: "Reason of the mute" });
  const form = el("form", { className: "say mute" }, reason, long, el("button", { type: "submit" }, `Mute ${event.stream}`));
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const body = { pattern: event.stream.replace(/[[*?]/g, "[$&]"), seconds: 3600 * HOURS[long.value], reason: reason.value, by: who() };
    if (await say(() => post("/api/mutes", body))) form.replaceChildren(el("span", { className: "muted" }, "Muted."));
  });
  const box = el("div", { className: "actions" }, form);
  if (event.kind === "incident") return el("div", {});
  if (event.event.changed && event.state === "open") {
    const adopt = el("button", { type: "button" }, "Take this level as normal");
    adopt.addEventListener("click", () => say(() => post("/api/streams/adopt", { stream: event.stream })));
    box.append(adopt);
  }
  return box;
}
