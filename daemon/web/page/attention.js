// What keeps the monitor from watching, or from telling: the most urgent first, each opens; or that all is well.

import { get, post } from "./api.js";
import { byId, el, keyed, setText } from "./dom.js";
import { ago, clock, exact, span } from "./format.js";

const EVERY_MS = 10_000;
const REASONS = {
  future: "its clock runs far ahead",
  late: "samples come too late",
  duplicate: "several values come for one moment",
  gaps: "most rows are missing",
  no_channel: "no channel of the model is among its values",
  no_model: "no model is meant for it",
};
const REFUSED = "messages that come for it cannot be used";
const SOURCE = "What it reads cannot be had, so that nothing of it is watched. It goes on by itself once that is mended; aez monitor check --deep tries it.";
const NO_MODEL = "No pattern in streams of a [[models]] table fits its name. Add one, or let the source take other streams only.";
const STOPPED = "Missing: no value comes, or none that is a number. Stuck: the value no longer moves. Both are left out of the score until they are back; look at sensor and wiring, or set hold for what is sent on change only.";
const CLOCKS = "Their rows are put together of values that do not belong together, are scored at the wrong hour, or not at all. Once the clock is right again Reset lets a stream begin anew.";
const SINK = "Events wait and are sent once the receiver takes them again. Look at the receiver, its address and its token; aez monitor check --deep tries it.";
const HELD = { muted: "muted", incident: "told as one incident", capped: "beyond the stream's share of the day" };
const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;

export class Attention {
  constructor() {
    this.items = new Map();
    this.found = { losing: { count: 0, reasons: {}, streams: [] }, stopped: { count: 0, streams: [] }, clocks: { count: 0, streams: [] } };
    this.muted = { by_hand: [], windows: [] };
    this.asked = "";
    this.total = 0; // streams
    this.list = byId("attention");
    this.load();
    setInterval(() => document.hidden || this.load(), EVERY_MS);
  }

  /** News of the whole; asks for the streams where others lose samples or stand still. */
  summary(summary) {
    this.whole = summary;
    const asked = JSON.stringify([summary.losing, summary.stopped]);
    if (asked !== this.asked) this.load();
    this.asked = asked;
    this.show();
  }

  streams(counts) {
    this.total = counts.event + counts.silent + counts.normal;
    this.show();
  }

  async load() {
    try {
      [this.found, this.muted] = await Promise.all([get("/api/attention"), get("/api/mutes")]);
      this.show();
    } catch {
      // The page says by itself that there is no connection.
    }
  }

  show() {
    if (!this.whole) return;
    const items = [...this.sources(), ...this.sinks(), ...this.losing(), ...this.clocks(), ...this.stopped(), ...this.held(), ...this.mutes()];
    const urgent = items.some((one) => one.kind !== "calm") || this.whole.problems.length > 0;
    keyed(this.list, this.items, items, (one) => one.key, (one) => this.make(one), (made, one) => this.fill(made, one));
    byId("all-well").hidden = urgent;
    if (!urgent) setText(byId("all-well-text"), this.allWell());
    byId("attention-box").classList.toggle("well", !urgent);
    byId("all-well").classList.toggle("empty", !this.total);
  }

  allWell() {
    const { sources, sinks, open_events: open } = this.whole;
    const streams = this.total;
    if (!streams) return `Nothing to watch yet: no data came from ${sources.map((one) => one.name).join(", ") || "any source"}.`;
    const watched = `${count(streams, "stream")} from ${count(sources.length, "source")} ${streams === 1 ? "is" : "are"} watched and every sample is scored`;
    const told = sinks.length ? `${count(sinks.length, "sink")} ${sinks.length === 1 ? "takes" : "take"} events` : "events are kept here and sent to nobody, for no sink is set";
    return `${open ? "The monitor itself works" : "All is well"}: ${watched}; ${told}.`;
  }

  make(item) {
    const made = { title: el("span", { className: "title" }), figure: el("span", { className: "muted" }), said: el("p"), box: el("div"), rows: new Map() };
    made.element = el(
      "details",
      { className: `item ${item.kind}` },
      el("summary", {}, el("span", { className: "mark", ariaHidden: "true" }), made.title, made.figure),
      el("div", { className: "inside" }, made.said, made.box),
    );
    return made;
  }

  fill(made, item) {
    setText(made.title, item.title);
    setText(made.figure, item.figure ?? "");
    setText(made.said, item.said ?? "");
    made.said.hidden = !item.said;
    keyed(made.box, made.rows, item.rows ?? [], (one) => one.key, (one) => this.row(one), (row, one) => {
      setText(row.what, one.what);
      setText(row.when, one.when ?? "");
      row.when.title = one.exact ?? "";
    });
  }

  row(one) {
    const row = { what: el("span", { className: "text" }), when: el("span", { className: "muted" }), error: el("span", { className: "error", role: "alert" }) };
    const name = one.link ? el("a", { href: `#stream=${encodeURIComponent(one.name)}` }, one.name) : el("b", {}, one.name);
    const act = (one.actions ?? []).map((action) => this.button(action, row));
    row.element = el("div", { className: "line" }, name, row.what, row.when, el("span", { className: "act" }, ...act), row.error);
    return row;
  }

  button({ title, hint, ask, path, body }, row) {
    const made = el("button", { type: "button", title: hint }, title);
    made.addEventListener("click", async () => {
      if (ask && !confirm(ask)) return;
      made.disabled = true;
      try {
        await post(path, body);
        setText(row.error, "");
        setTimeout(() => this.load(), 1200); // the table that is asked for is at most a second old
      } catch (error) {
        setText(row.error, `That was not done: ${error.message}.`);
      }
      made.disabled = false;
    });
    return made;
  }

  sources() {
    const failing = this.whole.sources.filter((one) => one.trouble);
    if (!failing.length) return [];
    const rows = failing.map((one) => ({ key: one.name, name: one.name, what: one.trouble }));
    const named = failing.map((one) => one.name).join(", ");
    return [{ key: "sources", kind: "bad", title: `Nothing can come in from ${named}`, figure: failing.length === 1 ? failing[0].trouble : "", said: SOURCE, rows }];
  }

  sinks() {
    const failing = this.whole.sinks.filter((one) => one.trouble);
    if (!failing.length) return [];
    const rows = failing.map((one) => {
      const waits = one.pending ? `${count(one.pending, "step")} of events ${one.pending === 1 ? "waits" : "wait"}` : "nothing waits";
      const lost = one.lost ? `, ${one.lost.toLocaleString()} lost to it` : "";
      return { key: one.name, name: one.name, what: `${one.trouble} – ${waits}${lost}`, when: one.lag ? `for ${span(1e9 * one.lag)}` : "" };
    });
    const named = failing.map((one) => one.name).join(", ");
    return [{ key: "sinks", kind: "bad", title: `People may not hear of events: ${named} ${failing.length === 1 ? "takes" : "take"} none`, figure: count(failing.reduce((sum, one) => sum + one.pending, 0), "step waits", "steps wait"), said: SINK, rows }];
  }

  losing() {
    const { reasons, streams } = this.found.losing;
    const found = Object.entries(reasons).map(([reason, number]) => {
      const mine = streams.filter((one) => one.losing === reason);
      const advice = new Set(mine.map((one) => one.advice));
      const rows = mine.map((one) => ({
        key: one.stream,
        name: one.stream,
        link: one.rows !== null,
        what: `${count(one.lost[reason] ?? 0, reason === "gaps" ? "row" : "sample")} ${reason === "gaps" ? "made up" : "not scored"}${advice.size > 1 ? `; ${one.advice}` : ""}`,
        when: one.losing_since ? `since ${clock(one.losing_since)}` : "",
        exact: exact(one.losing_since),
        actions: one.rows === null ? [] : streamActions(one.stream), // none of it ever came in
      }));
      if (mine.length < number) rows.push({ key: "\n more", name: `and ${(number - mine.length).toLocaleString()} more`, what: "" });
      return { ...losingItem(reason, number), said: advice.size === 1 ? sentence([...advice][0]) : "", figure: named(mine.map((one) => one.stream), number), rows };
    });
    const orphans = (this.whole.losing ?? []).filter((one) => one.reason === "no_model");
    for (const one of orphans) {
      const rows = one.streams.map((name) => ({ key: name, name, what: "not scored" }));
      if (one.count > rows.length) rows.push({ key: "\n more", name: `and ${(one.count - rows.length).toLocaleString()} more`, what: "" });
      found.push({ ...losingItem("no_model", one.count), said: NO_MODEL, figure: named(one.streams, one.count), rows });
    }
    return found.sort((one, other) => other.number - one.number);
  }

  clocks() {
    const { count: number, streams } = this.found.clocks ?? { count: 0 };
    if (!number) return [];
    const rows = streams.map((one) => ({ key: one.stream, name: one.stream, link: true, what: sentence(one.clocks), actions: streamActions(one.stream) }));
    if (streams.length < number) rows.push({ key: "\n more", name: `and ${(number - streams.length).toLocaleString()} more`, what: "" });
    return [{ key: "clocks", kind: "bad", title: `${count(number, "stream comes", "streams come")} with clocks that are apart`, figure: named(streams.map((one) => one.stream), number), said: CLOCKS, rows }];
  }

  stopped() {
    const { count: number, streams } = this.found.stopped;
    if (!number) return [];
    const rows = streams.map((one) => {
      const said = ["missing", "stuck"].filter((kind) => one[kind]?.length).map((kind) => `${kind}: ${one[kind].join(", ")}`);
      return { key: one.stream, name: one.stream, link: true, what: said.join("; "), when: one.newest ? `last sample ${ago(one.newest)}` : "", exact: exact(one.newest) };
    });
    if (streams.length < number) rows.push({ key: "\n more", name: `and ${(number - streams.length).toLocaleString()} more`, what: "" });
    return [{ key: "stopped", kind: "warn", title: `${count(number, "stream has", "streams have")} channels that are missing or stuck`, figure: named(streams.map((one) => one.stream), number), said: STOPPED, rows }];
  }

  held() {
    const held = Object.entries(this.whole.held ?? {}).filter(([why, number]) => number && HELD[why]);
    if (!held.length) return [];
    const number = held.reduce((sum, [, one]) => sum + one, 0);
    const capped = held.some(([why]) => why === "capped");
    return [{
      key: `held-${capped}`,
      kind: capped ? "warn" : "calm",
      title: `${count(number, "open event was", "open events were")} held back`,
      figure: held.map(([why, one]) => `${one.toLocaleString()} ${HELD[why]}`).join(", "),
      said: "They are recorded and marked in the list of events. Muted ones that are still open when the mute ends are sent then. How many events of a stream are sent on one day is alarms.events_per_day.",
    }];
  }

  mutes() {
    const byHand = this.muted.by_hand.map((one) => ({
      key: `hand ${one.number}`,
      name: one.pattern,
      what: `${one.reason}${one.author ? ` (${one.author})` : ""}`,
      when: `until ${clock(one.until)}`,
      exact: exact(one.until),
      actions: [{ title: "End", hint: "Send its events again", path: `/api/mutes/${one.number}/end`, body: {} }],
    }));
    const windows = this.muted.windows.filter((one) => one.until !== null).map((one, place) => ({
      key: `window ${place} ${one.reason}`,
      name: one.patterns.join(", "),
      what: `${one.reason} (of the configuration)`,
      when: `until ${clock(one.until)}`,
      exact: exact(one.until),
    }));
    const rows = [...byHand, ...windows];
    if (!rows.length) return [];
    return [{ key: "mutes", kind: "calm", title: `${count(rows.length, "mute holds", "mutes hold")} now`, figure: named(rows.map((one) => `${one.name} ${one.when}`), rows.length), said: "Events of these streams are recorded and not sent.", rows }];
  }
}

function losingItem(reason, number) {
  const said = REASONS[reason] ?? `${REFUSED} (${reason})`;
  const title = `${count(number, "stream is", "streams are")} not wholly watched: ${number === 1 ? said : said.replace("its ", "their ").replace(/\bfor it\b/, "for them")}`;
  return { key: `losing ${reason}`, kind: "bad", number, title };
}

function streamActions(stream) {
  return [
    { title: "Reset", hint: "Let its clock begin anew with its next sample; limits and counts stay", ask: `Shall the clock of ${stream} begin anew with its next sample? What is open of it is closed.`, path: "/api/streams/reset", body: { stream } },
    { title: "Forget", hint: "Let go of all that is known of it", ask: `Shall all that is known of ${stream} be let go? What is open of it is closed; if it comes again it starts afresh.`, path: "/api/streams/forget", body: { stream } },
  ];
}

const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "");
const named = (names, number) => `${names.slice(0, 3).join(", ")}${number > 3 ? ", …" : ""}`;
