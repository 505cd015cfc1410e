// The table of streams: one page of it, its rows brought up to date in place.

import { byId, el, setText, stateMark } from "./dom.js";
import { ago, exact, number } from "./format.js";

export const PAGE = 50;

export class Streams {
  /** asked: called with {search, state, offset} when another page is wanted. */
  constructor(asked) {
    this.asked = asked;
    this.wanted = { search: "", state: "", offset: 0 };
    this.rows = new Map();
    this.entries = new Map();
    this.sources = [];
    this.total = null;
    this.body = byId("streams");
    byId("search-form").addEventListener("submit", (submitted) => submitted.preventDefault());
    byId("search").addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask({ search: byId("search").value.trim(), offset: 0 }), 250);
    });
    byId("state").addEventListener("change", () => this.ask({ state: byId("state").value, offset: 0 }));
    byId("previous").addEventListener("click", () => this.ask({ offset: Math.max(0, this.wanted.offset - PAGE) }));
    byId("next").addEventListener("click", () => this.ask({ offset: this.wanted.offset + PAGE }));
    setInterval(() => this.age(), 1000);
  }

  ask(changed) {
    this.wanted = { ...this.wanted, ...changed };
    this.asked();
  }

  /** News of the page that is shown. */
  take({ names, changed, total, counts }) {
    if (this.wanted.offset && this.wanted.offset >= total) {
      this.ask({ offset: PAGE * Math.max(0, Math.ceil(total / PAGE) - 1) });
      return;
    }
    for (const entry of changed) this.entries.set(entry.stream, entry);
    const wanted = new Set(names);
    for (const [name, row] of this.rows) {
      if (wanted.has(name)) continue;
      row.line.remove();
      this.rows.delete(name);
      this.entries.delete(name);
    }
    names.forEach((name, place) => {
      const row = this.rows.get(name) ?? this.make(name);
      if (this.body.children[place] !== row.line) this.body.insertBefore(row.line, this.body.children[place] ?? null);
    });
    for (const entry of changed) if (this.rows.has(entry.stream)) this.show(this.rows.get(entry.stream), entry);
    this.total = total;
    for (const option of byId("state").options) {
      const count = option.value ? counts[option.value] : counts.event + counts.silent + counts.normal;
      setText(option, `${option.value || "all"} (${count})`);
    }
    const { offset } = this.wanted;
    byId("pager").hidden = total <= PAGE;
    byId("previous").disabled = offset === 0;
    byId("next").disabled = offset + PAGE >= total;
    setText(byId("pages"), `${offset + 1}–${Math.min(total, offset + PAGE)} of ${total}`);
    this.empty();
  }

  /** What to do where there is nothing to see. */
  empty() {
    const empty = byId("streams-empty");
    empty.hidden = this.total !== 0;
    if (this.total !== 0) return;
    const named = this.sources.map((one) => `${one.name} (${one.kind})`).join(", ");
    setText(
      empty,
      this.wanted.search || this.wanted.state
        ? "No stream fits. Search for another name, or show all states."
        : `No data came yet. Send rows to ${named || "a source"}; aez monitor tap shows what arrives.`,
    );
  }

  make(name) {
    const row = {
      state: el("td", { className: "cell-state" }),
      link: el("a", { href: `#stream=${encodeURIComponent(name)}`, title: name }, name),
      fill: el("span", { className: "fill" }),
      score: el("span", { className: "figure" }),
      model: el("td", { className: "model muted" }),
      seen: el("td", { className: "right muted" }),
    };
    row.bar = el("span", { className: "bar", role: "img" }, row.fill, el("span", { className: "tick" }));
    row.line = el(
      "tr",
      {},
      row.state,
      el("td", { className: "name" }, row.link),
      el("td", { className: "cell-score" }, row.bar, row.score),
      row.model,
      row.seen,
    );
    this.rows.set(name, row);
    this.mark();
    return row;
  }

  show(row, entry) {
    if (row.shown !== entry.state) {
      row.state.replaceChildren(stateMark(entry.state));
      row.shown = entry.state;
    }
    const ratio = entry.score === null ? 0 : entry.score / entry.limit;
    row.fill.style.width = `${50 * Math.min(2, Math.max(0, ratio))}%`;
    row.fill.classList.toggle("above", ratio > 1);
    row.bar.ariaLabel = entry.score === null ? "no score yet" : `score ${number(entry.score)}, limit ${number(entry.limit)}`;
    setText(row.score, number(entry.score, 2));
    setText(row.model, entry.model);
    this.seen(row, entry);
  }

  seen(row, entry) {
    setText(row.seen, ago(entry.newest));
    row.seen.title = exact(entry.newest);
  }

  age() {
    for (const [name, row] of this.rows) if (this.entries.has(name)) this.seen(row, this.entries.get(name));
  }

  choose(name) {
    this.chosen = name;
    this.mark();
  }

  mark() {
    for (const [name, row] of this.rows) {
      if (name === this.chosen) row.link.setAttribute("aria-current", "true");
      else row.link.removeAttribute("aria-current");
      row.line.classList.toggle("chosen", name === this.chosen);
    }
  }
}
