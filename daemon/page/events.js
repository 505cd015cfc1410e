// The list of events, and what people say to them.

import { get, post } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { clock, exact, number, percent, span } from "./format.js";

const MOST = 200;
const MARKS = { warning: "▲", serious: "▲▲", critical: "▲▲▲", silence: "◌" };

export class Events {
  /** changed: called with the events of the chosen stream when they may be others. */
  constructor(changed) {
    this.changed = changed;
    this.all = new Map();
    this.one = new Map();
    this.lines = new Map();
    this.stream = null;
    this.list = byId("events");
    const who = byId("who");
    who.value = localStorage.getItem("aez-name") ?? "";
    who.addEventListener("change", () => localStorage.setItem("aez-name", who.value.trim()));
    for (const radio of document.getElementsByName("of")) radio.addEventListener("change", () => this.show());
  }

  /** Ask for all anew. */
  async load() {
    const { stream } = this;
    try {
      const [all, one] = await Promise.all([
        get("/api/events", { limit: MOST }),
        stream === null ? { events: [] } : get("/api/events", { limit: MOST, stream }),
      ]);
      if (stream !== this.stream) return;
      this.all = new Map(all.events.map((event) => [event.id, event]));
      this.one = new Map(one.events.map((event) => [event.id, event]));
      this.loaded = true;
      this.error("");
    } catch (error) {
      this.error(`The events cannot be shown: ${error.message}.`);
    }
    this.show();
  }

  choose(stream) {
    this.stream = stream;
    this.one = new Map();
    return this.load();
  }

  /** News of some events. */
  take(events) {
    for (const event of events) {
      this.all.set(event.id, event);
      if (event.stream === this.stream) this.one.set(event.id, event);
    }
    this.show();
  }

  error(text) {
    byId("events-error").hidden = !text;
    setText(byId("events-error"), text);
  }

  show() {
    const of = document.querySelector("input[name=of]:checked").value;
    const events = [...(of === "all" ? this.all : this.one).values()];
    events.sort((a, b) => b.start - a.start || (a.id < b.id ? 1 : -1));
    events.length = Math.min(events.length, MOST);
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
    byId("events-empty").hidden = !this.loaded || events.length > 0;
    setText(
      byId("events-empty"),
      of === "all"
        ? "No events. One appears here as soon as a stream's score stays above its limit, or a stream falls silent."
        : "No events of this stream.",
    );
    this.changed([...this.one.values()]);
  }

  make(event) {
    const line = {
      mark: el("span", { className: "severity" }),
      link: el("a", { href: `#stream=${encodeURIComponent(event.stream)}` }, event.stream),
      when: el("span", { className: "when" }),
      peak: el("span", { className: "peak" }),
      blame: el("span", { className: "blame muted" }),
      seen: el("span", { className: "seen muted" }),
      acknowledge: el("button", { type: "button" }, "Acknowledge"),
      comment: el("button", { type: "button", className: "quiet", ariaExpanded: "false" }),
      more: el("div", { className: "more", hidden: true }),
    };
    line.item = el(
      "li",
      { className: "event" },
      el("div", { className: "what" }, line.mark, line.link, line.when, line.peak, line.blame),
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
    const kind = event.kind === "silence" ? "silence" : event.severity;
    const detail = event.event;
    line.item.className = `event ${event.state} ${kind}`;
    line.mark.className = `severity severity-${kind}`;
    line.mark.replaceChildren(el("span", { ariaHidden: "true" }, `${MARKS[kind] ?? "▲"} `), kind);
    const length = event.end === null ? null : span(event.end - event.start);
    const word = kind === "silence" ? "silent" : "open";
    setText(line.when, length === null ? `${word} since ${clock(event.start)}` : `${clock(event.start)}, ${length}`);
    line.when.title = `${exact(event.start)} – ${exact(event.end)}`;
    setText(line.peak, typeof detail.peak === "number" ? `peak ${number(detail.peak)} × limit` : "");
    const blamed = (detail.channels ?? []).slice(0, 3);
    setText(line.blame, blamed.map((one) => `${one.name} ${percent(one.share)}`).join(", "));
    line.acknowledge.hidden = event.acknowledged !== null;
    const by = event.acknowledged_by ? ` by ${event.acknowledged_by}` : "";
    setText(line.seen, event.acknowledged === null ? "" : `✓ seen${by}, ${clock(event.acknowledged)}`);
    const count = event.comment_count;
    setText(line.comment, count ? `Comments (${count})` : "Comment");
    if (!line.more.hidden) this.comments(line, event.id);
  }

  async acknowledge(id) {
    await this.say(`/api/events/${id}/acknowledge`, { by: byId("who").value.trim(), comment: "" });
  }

  async say(path, body) {
    try {
      await post(path, body);
      this.error("");
      return true;
    } catch (error) {
      this.error(`That was not stored: ${error.message}.`);
      return false;
    }
  }

  /** Show or hide what was said, and the place to say more. */
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
      line.more.append(line.said, form);
    }
    this.comments(line, id);
    line.more.querySelector("input").focus();
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
