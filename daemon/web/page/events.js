// The list of events, and what people say to them.

import { actions, blameText, heldText, members, noteText } from "./alarms.js";
import { get, post } from "./api.js";
import { curve } from "./curve.js";
import { byId, el, setText } from "./dom.js";
import { clock, exact, number, span } from "./format.js";

const PAGE = matchMedia("(max-width: 900px)").matches ? 20 : 200;
const MOST = 1000; // in one answer
const MARKS = { warning: "▲", serious: "▲▲", critical: "▲▲▲", silence: "◌", incident: "⁂" };

const FOLDED = { folded: true }; // an incident stands for its events
const later = (a, b) => b.start - a.start || (a.id < b.id ? 1 : -1);

/** The latest events, of all streams or of one: none is missing between those that it has. */
class Latest {
  constructor() {
    this.byId = new Map();
    this.wanted = PAGE;
    this.more = false;
    this.busy = Promise.resolve();
  }

  get events() {
    return [...this.byId.values()].sort(later);
  }

  /** Ask for all anew, or for those behind the last one; one question after the other. */
  load(query, behind = false) {
    const answer = this.busy.then(() => this.ask(query, behind));
    this.busy = answer.catch(() => {});
    return answer;
  }

  async ask(query, behind) {
    const limit = behind ? PAGE : Math.min(MOST, this.wanted);
    const last = behind ? this.events.at(-1) : undefined;
    if (last) this.wanted += PAGE; // before news can push the last one out
    const { events } = await get("/api/events", { limit, ...query, ...(last && { after: last.id }) });
    if (!last) this.byId.clear();
    for (const event of events) this.byId.set(event.id, event);
    if (!last) this.wanted = limit;
    this.more = events.length === limit;
  }

  /** News of an event; one that is older than all is left to whoever asks for more. */
  take(event) {
    const last = this.more && !this.byId.has(event.id) ? this.events.at(-1) : undefined;
    if (last && later(last, event) < 0) return;
    this.byId.set(event.id, event);
    if (this.byId.size <= this.wanted) return;
    for (const one of this.events.slice(this.wanted)) this.byId.delete(one.id);
    this.more = true;
  }
}

export class Events {
  /** changed: called with the events of the chosen stream when they may be others. */
  constructor(changed) {
    this.changed = changed;
    this.all = new Latest();
    this.ongoing = new Latest(); // also those that began long ago
    this.one = new Latest();
    this.lines = new Map();
    this.stream = null;
    this.list = byId("events");
    const who = byId("who");
    who.value = localStorage.getItem("aez-name") ?? "";
    who.addEventListener("change", () => localStorage.setItem("aez-name", who.value.trim()));
    for (const radio of document.getElementsByName("of")) radio.addEventListener("change", () => this.show());
    byId("more-events").addEventListener("click", () => this.further());
  }

  /** The list that is shown. */
  get chosen() {
    return document.querySelector("input[name=of]:checked").value === "all" ? this.all : this.one;
  }

  /** Ask for all anew. */
  async load() {
    const { all, ongoing, one, stream } = this;
    try {
      await Promise.all([all.load(FOLDED), ongoing.load({ ...FOLDED, open: true }), stream === null ? null : one.load({ stream })]);
      if (one !== this.one) return;
      this.loaded = true;
      this.error("");
    } catch (error) {
      this.error(`The events cannot be shown: ${error.message}.`);
    }
    this.show();
  }

  /** Show older ones, too. */
  async further() {
    const { chosen } = this;
    const button = byId("more-events");
    button.disabled = true;
    try {
      await chosen.load(chosen === this.one ? { stream: this.stream } : FOLDED, true);
      this.error("");
    } catch (error) {
      this.error(`Older events cannot be shown: ${error.message}.`);
    }
    button.disabled = false;
    this.show();
  }

  choose(stream) {
    this.stream = stream;
    this.one = new Latest();
    return this.load();
  }

  /** News of some events. */
  take(events) {
    for (const event of events) {
      this.all.take(event);
      if (event.state === "open") this.ongoing.take(event);
      else this.ongoing.byId.delete(event.id);
      if (event.stream === this.stream) this.one.take(event);
    }
    this.show();
  }

  error(text) {
    byId("events-error").hidden = !text;
    setText(byId("events-error"), text);
  }

  /** Whether an event is one of those that an incident stands for. */
  folded({ id, event }) {
    if (!event.incident || event.incident === id) return false;
    const known = this.all.byId.get(event.incident) ?? this.ongoing.byId.get(event.incident);
    return known?.kind === "incident"; // else it is of an older aez, which called what it began with so
  }

  /** What is listed: of all streams those that are open first. */
  get listed() {
    if (this.chosen === this.one) return this.one.events;
    const found = [...new Map([...this.ongoing.byId, ...this.all.byId]).values()].filter((one) => !this.folded(one) || one.id === this.revealed);
    return found.sort((a, b) => (b.state === "open") - (a.state === "open") || later(a, b));
  }

  show() {
    const { chosen, listed: events } = this;
    const wanted = new Set(events.map((event) => event.id));
    for (const [id, line] of this.lines) {
      if (wanted.has(id)) continue;
      line.item.remove();
      this.lines.delete(id);
    }
    events.forEach((event, place) => {
      const line = this.lines.get(event.id) ?? this.make(event);
      if (this.list.children[place] !== line.item) this.list.insertBefore(line.item, this.list.children[place] ?? null);
      this.fill(line, event);
    });
    byId("more-events").hidden = !chosen.more;
    byId("events-empty").hidden = !this.loaded || events.length > 0;
    setText(
      byId("events-empty"),
      chosen === this.all
        ? "No events. One appears here as soon as a stream's score stays above its limit, or a stream falls silent."
        : "No events of this stream.",
    );
    this.changed(this.one.events);
  }

  make(event) {
    const line = {
      mark: el("span", { className: "severity" }),
      link: el("a", { href: event.kind === "incident" ? `#event=${event.id}` : `#stream=${encodeURIComponent(event.stream)}` }, event.stream),
      when: el("span", { className: "when" }),
      peak: el("span", { className: "peak" }),
      blame: el("span", { className: "blame muted" }),
      held: el("span", { className: "held muted" }),
      seen: el("span", { className: "seen muted" }),
      acknowledge: el("button", { type: "button" }, "Acknowledge"),
      comment: el("button", { type: "button", className: "quiet", ariaExpanded: "false" }),
      more: el("div", { className: "more", hidden: true }),
    };
    line.item = el(
      "li",
      { className: "event" },
      el("div", { className: "what" }, line.mark, line.link, line.when, line.peak, line.blame, line.held),
      el("div", { className: "act" }, line.seen, line.acknowledge, line.comment),
      line.more,
    );
    line.acknowledge.addEventListener("click", () => this.acknowledge(event.id));
    line.comment.addEventListener("click", () => this.open(line, event.id));
    this.lines.set(event.id, line);
    return line;
  }

  fill(line, event) {
    const told = JSON.stringify(event);
    if (line.told === told) return;
    line.told = told;
    const kind = event.kind === "anomaly" ? event.severity : event.kind;
    const detail = event.event;
    line.item.className = `event ${event.state} ${kind}`;
    if (kind === "incident" && event.stream === "*") setText(line.link, `${detail.count.toLocaleString()} ${detail.count === 1 ? "stream" : "streams"}`);
    line.mark.className = `severity severity-${kind}`;
    line.mark.replaceChildren(el("span", { ariaHidden: "true" }, `${MARKS[kind] ?? "▲"} `), kind);
    const length = event.end === null ? null : span(event.end - event.start);
    const word = { silence: "silent", missing: "missing", stuck: "stuck" }[event.kind] ?? "open";
    setText(line.when, length === null ? `${word} since ${clock(event.start)}` : `${clock(event.start)}, ${length}`);
    line.when.title = `${exact(event.start)} – ${exact(event.end)}`;
    setText(line.peak, typeof detail.peak === "number" ? `peak ${number(detail.peak)} × limit` : "");
    const blamed = (detail.channels ?? []).slice(0, 3);
    const signal = ["missing", "stuck"].includes(kind === "incident" ? detail.cause : kind); // its channels have no shares in a score
    setText(line.blame, [...blamed.map(signal ? (one) => one.name : blameText), noteText(event)].filter(Boolean).join(", "));
    setText(line.held, heldText(event, this.folded(event)));
    line.item.classList.toggle("not-sent", line.held.textContent !== "");
    line.acknowledge.hidden = event.acknowledged !== null;
    const by = event.acknowledged_by ? ` by ${event.acknowledged_by}` : "";
    setText(line.seen, event.acknowledged === null ? "" : `✓ seen${by}, ${clock(event.acknowledged)}`);
    const count = event.comment_count;
    const say = [kind === "incident" ? (event.stream === "*" ? "Streams" : "Channels") : detail.picture ? "Picture" : "Details", count && `comments (${count})`];
    setText(line.comment, say.filter(Boolean).join(", "));
    line.event = event;
    if (line.more.hidden) return;
    this.picture(line);
    this.curve(line);
    this.comments(line, event.id);
  }

  /** The event's rows, drawn anew with each of its steps; of an incident the events that it stands for. */
  async curve(line) {
    const { id, sequence, kind } = line.event;
    if (line.drawn === sequence) return;
    line.drawn = sequence;
    const drawn = kind === "incident" ? members(id) : await curve(line.event);
    if (!drawn) return;
    if (line.curves) line.curves.replaceWith(drawn);
    else line.more.prepend(drawn);
    line.curves = drawn;
  }

  /** Show one event, also an old one, with all that is known of it. */
  reveal(event) {
    document.querySelector("input[name=of][value=all]").checked = true;
    this.all.byId.set(event.id, event);
    this.revealed = event.id;
    this.show();
    const line = this.lines.get(event.id);
    if (line.more.hidden) this.open(line, event.id);
    line.item.scrollIntoView({ block: "center" });
  }

  /** The worst frame, where the event has one; another one as soon as a worse frame came. */
  picture(line) {
    const { id, stream, start, sequence, event } = line.event;
    if (!event.picture) return;
    const address = `/api/events/${id}/picture?step=${sequence}`;
    if (line.address === address) return;
    line.address = address;
    const gone = el("p", { className: "muted", hidden: true }, "The picture is no longer kept.");
    const image = el("img", { loading: "lazy", alt: `Worst frame of ${stream} in the event of ${exact(start)}; what is abnormal is in colours` });
    const large = line.worst?.ariaExpanded ?? "false";
    const worst = el("button", { type: "button", className: "worst", ariaExpanded: large, title: "Larger or smaller" }, image);
    worst.addEventListener("click", () => (worst.ariaExpanded = String(worst.ariaExpanded !== "true")));
    image.addEventListener("error", () => {
      gone.hidden = false;
      worst.hidden = true;
    });
    image.src = address;
    const box = el("div", {}, worst, gone);
    if (line.worst) line.worst.parentElement.replaceWith(box);
    else line.more.prepend(box);
    line.worst = worst;
  }

  async acknowledge(id) {
    await this.say(`/api/events/${id}/acknowledge`, { by: byId("who").value.trim(), comment: "" });
  }

  say(path, body) {
    return this.tried(() => post(path, body));
  }

  async tried(asked) {
    try {
      await asked();
      this.error("");
      return true;
    } catch (error) {
      this.error(`That was not stored: ${error.message}.`);
      return false;
    }
  }

  /** Show or hide the picture, what was said, and the place to say more. */
  open(line, id) {
    line.more.hidden = !line.more.hidden;
    line.comment.ariaExpanded = String(!line.more.hidden);
    if (line.more.hidden) return;
    if (!line.said) {
      line.said = el("ul", { className: "said" });
      const text = el("input", { maxLength: 4000, required: true, placeholder: "What is to say about it?", ariaLabel: "Comment" });
      const form = el("form", { className: "say" }, text, el("button", { type: "submit" }, "Send"));
      form.addEventListener("submit", async (submitted) => {
        submitted.preventDefault();
        const sent = await this.say(`/api/events/${id}/comment`, { by: byId("who").value.trim(), text: text.value });
        if (sent) text.value = "";
      });
      const said = (asked) => this.tried(asked);
      line.more.append(line.said, form, actions(line.event, () => byId("who").value.trim(), said));
    }
    this.picture(line);
    this.curve(line);
    this.comments(line, id);
    line.more.querySelector("input").focus({ preventScroll: line.worst !== undefined });
  }

  async comments(line, id) {
    try {
      const { comments } = await get(`/api/events/${id}`);
      line.said.replaceChildren(
        ...comments.map((one) =>
          el("li", {}, el("span", { className: "muted" }, `${one.author || "somebody"}, ${clock(one.time)}: `), one.text),
        ),
      );
    } catch (error) {
      this.error(`The comments cannot be shown: ${error.message}.`);
    }
  }
}
