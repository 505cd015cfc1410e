// What an event says of itself beyond its line: why it was not sent, whom an incident stands for, what to do about it.

import { get, post } from "./api.js";
import { el, setText } from "./dom.js";
import { clock, number, span } from "./format.js";

const MEMBERS = 100;
const CAUSES = { silent: ["stream fell silent", "streams fell silent"], anomaly: ["anomaly", "anomalies"], missing: ["signal went missing", "signals went missing"], stuck: ["signal got stuck", "signals got stuck"] };
const HOURS = { "1 h": 1, "8 h": 8, "1 day": 24, "1 week": 168 };

/** Why an event was not sent, in a word or two; empty where it was. incident: whether one of many streams holds it. */
export function heldText({ event }, incident) {
  if (event.muted) return `muted: ${event.muted}`;
  if (event.capped) return "not sent: more than the stream's share of the day";
  return incident ? "part of an incident" : "";
}

/** A channel to blame, the first one with what was measured and expected. */
export function blameText(one, place) {
  const share = `${one.name} ${Math.round(100 * one.share)} %`;
  if (one.measured === undefined || place) return share;
  const unit = one.unit ? ` ${one.unit}` : "";
  const measured = one.measured === null ? "missing" : `${number(one.measured, 4)}${unit}`;
  const expected = one.expected === null ? "" : `, expected ${number(one.expected, 4)}${unit}`;
  return `${share} (${measured}${expected})`;
}

/** What else is to be said of an event. */
export function noteText({ kind, event }) {
  if (kind === "incident") {
    const words = CAUSES[event.cause] ?? ["event", "events"];
    const examples = `${event.examples.slice(0, 3).join(", ")}${event.count > 3 ? ", …" : ""}`;
    const still = event.open ? `${event.open.toLocaleString()} still` : "none any more";
    return `${event.count.toLocaleString()} ${words[event.count === 1 ? 0 : 1]}, ${still}: ${examples}`;
  }
  const said = [];
  if (event.reopened) said.push(`reopened ${event.reopened} ×`);
  if (event.changed) said.push("stays at this level");
  if (event.reason) said.push(`closed: ${event.reason}`);
  return said.join(", ");
}

/** The events that an incident stands for, a hundred at a time. */
export function members(incident) {
  const list = el("div", { className: "members" });
  const more = el("button", { type: "button" }, "Show more");
  let last = null;
  const load = async () => {
    more.disabled = true;
    try {
      const { events } = await get("/api/events", { incident, limit: MEMBERS, ...(last && { after: last }) });
      list.append(...events.toSorted((one, other) => (one.stream < other.stream ? -1 : 1)).map(member));
      last = events.at(-1)?.id ?? last;
      more.hidden = events.length < MEMBERS;
      setText(failed, "");
    } catch (error) {
      setText(failed, `They cannot be shown: ${error.message}.`);
    }
    more.disabled = false;
  };
  const failed = el("p", { className: "error", role: "alert" });
  more.addEventListener("click", load);
  load();
  return el("div", {}, list, more, failed);
}

function member(event) {
  const until = event.end === null ? `since ${clock(event.start)}` : `${clock(event.start)}, ${span(event.end - event.start)}`;
  const word = event.state === "open" ? "open" : "over";
  const stops = event.kind === "missing" || event.kind === "stuck";
  const name = stops ? `${event.stream}: ${event.event.channels.map((one) => one.name).join(", ")}` : event.stream;
  return el("div", { className: "line" }, el("a", { href: `#stream=${encodeURIComponent(event.stream)}` }, name), el("span", {}, word), el("span", { className: "muted" }, until));
}

/** Buttons about the event's stream: mute it, and take its level where it moved for good. */
export function actions(event, who, say) {
  const long = el("select", { ariaLabel: "For how long" }, ...Object.keys(HOURS).map((name) => el("option", { value: name }, name)));
  const reason = el("input", { maxLength: 1000, required: true, placeholder: "Reason to mute it", ariaLabel: "Reason of the mute" });
  const form = el("form", { className: "say mute" }, reason, long, el("button", { type: "submit", ariaLabel: `Mute ${event.stream}`, title: `Mute ${event.stream}` }, "Mute"));
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const body = { pattern: event.stream.replace(/[[*?]/g, "[$&]"), seconds: 3600 * HOURS[long.value], reason: reason.value, by: who() };
    if (await say(() => post("/api/mutes", body))) form.replaceChildren(el("span", { className: "muted" }, "Muted."));
  });
  if (event.stream === "*") return el("div", {});
  const box = el("div", { className: "actions" }, form);
  if (event.event.changed && event.state === "open") {
    const adopt = el("button", { type: "button" }, "Take this level as normal");
    adopt.addEventListener("click", () => say(() => post("/api/streams/adopt", { stream: event.stream })));
    box.append(adopt);
  }
  return box;
}
