// The chosen stream: its score against the limit, and its channels, the most to blame first.

import { byId, el, setText, stateMark } from "./dom.js";
import { clockMs, number, percent } from "./format.js";

const ROWS = 600;
const REGION = /^row (\d+) column (\d+)$/;
const COLUMNS = ["row", "time", "score", "limit"];
const sync = uPlot.sync("time");

export class Charts {
  constructor() {
    this.data = null;
    this.events = [];
    this.charts = [];
    this.places = []; // of the channels that are drawn, among all
    this.top = 1;
    this.drawn = false;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
    byId("all-channels").addEventListener("click", () => {
      byId("channels").classList.add("all");
      byId("all-channels").hidden = true;
    });
    new ResizeObserver(() => this.fit()).observe(byId("channels"));
    new ResizeObserver(() => this.fit()).observe(byId("score"));
  }

  /** Another stream, of which nothing is known yet; null for none. */
  choose(name) {
    this.stream = name;
    this.data = null;
    this.events = [];
    this.clear();
    setText(byId("stream-title"), name ?? "No stream chosen");
    byId("stream-state").replaceChildren();
    setText(byId("stream-about"), "");
    this.empty(name === null ? "Choose a stream in the list." : "Waiting for its rows…");
  }

  empty(text) {
    byId("stream-empty").hidden = !text;
    setText(byId("stream-empty"), text ?? "");
  }

  /** How the stream stands; null where there is none of that name. */
  entry(entry) {
    if (entry === null) {
      byId("stream-state").replaceChildren();
      if (!this.data) this.empty("There is no stream of this name now. It appears here as soon as it sends rows.");
      return;
    }
    if (this.state !== entry.state || !byId("stream-state").firstChild) byId("stream-state").replaceChildren(stateMark(entry.state));
    this.state = entry.state;
    this.shown = entry;
    this.about();
  }

  about() {
    if (this.shown?.stream !== this.stream) return;
    const { model, rows } = this.shown;
    setText(byId("stream-about"), `${model} · ${rows.toLocaleString()} ${this.data?.frames ? "frames" : "rows"}`);
  }

  history(data) {
    if (data.stream !== this.stream) return;
    this.data = data;
    this.about();
    this.build();
  }

  rows(more) {
    if (!this.data) return;
    const { data } = this;
    for (const name of COLUMNS) data[name] = data[name].concat(more[name]).slice(-ROWS);
    for (const name of ["values", "reconstruction"]) {
      data[name] = data[name].map((old, place) => old.concat(more[name][place]).slice(-ROWS));
    }
    data.blame = more.blame;
    this.draw();
  }

  /** The stream's events, to shade. */
  shade(events) {
    this.events = events.map((one) => ({
      start: one.start / 1e9,
      end: (one.state === "open" ? Infinity : one.end ?? one.time) / 1e9,
      kind: one.kind === "silence" ? "silence" : one.severity,
    }));
    for (const { plot } of this.charts) plot.redraw(false);
  }

  clear() {
    for (const { plot } of this.charts) plot.destroy();
    this.charts = [];
    byId("channels").replaceChildren();
    byId("score").replaceChildren();
    byId("score").hidden = true;
    byId("left-out").hidden = true;
    byId("all-channels").hidden = true;
    byId("channels").classList.remove("regions");
  }

  /** All charts anew: another stream, other channels, or other colours. */
  build() {
    this.clear();
    const { data } = this;
    if (!data) return;
    if (data.row.length) this.empty(null);
    else this.empty(data.frames ? "Its next frame appears here." : `Its first score comes after ${data.window} rows.`);
    this.colours = colours();
    const scoreBox = byId("score");
    scoreBox.hidden = false;
    this.add(scoreBox, { name: "Score" }, 140, true, [
      { stroke: this.colours.ink, width: 1.25, points: { show: false } },
      { stroke: this.colours.limit, width: 1.25, dash: [6, 4], points: { show: false } },
    ]);
    // The whole frame's value is its score, which is drawn already.
    this.places = [...data.channels.keys()].filter((place) => !data.frames || REGION.test(data.channels[place].name));
    byId("channels").classList.toggle("regions", data.frames);
    byId("key-model").hidden = !data.reconstructs;
    this.places.forEach((place) => {
      const channel = data.channels[place];
      const box = el("figure", { className: "chart channel" });
      const [, row, column] = REGION.exec(channel.name) ?? [];
      if (data.frames) box.style.setProperty("--place", 100 * row + Number(column));
      byId("channels").append(box);
      this.add(box, channel, 76, false, [
        { stroke: this.colours.signal, width: 1.25, points: { show: false } },
        { stroke: this.colours.model, width: 1.25, dash: [4, 3], points: { show: false } },
      ]);
    });
    setText(byId("all-channels"), data.frames ? "All regions" : "All channels");
    byId("all-channels").hidden = this.places.length <= 3 || byId("channels").classList.contains("all");
    const { left_out: left } = data;
    byId("left-out").hidden = !left;
    setText(byId("left-out"), left ? `${left} more channels, which are less to blame, are not shown.` : "");
    this.update();
  }

  add(box, channel, height, wide, series) {
    const name = el("span", { className: "name", title: channel.name }, channel.name);
    const share = el("span", { className: "share", title: "share of the blame" });
    const value = el("span", { className: "value" });
    const place = el("div", { className: "plot" });
    box.replaceChildren(el("figcaption", {}, name, share, value), place);
    const axis = { stroke: this.colours.muted, grid: { stroke: this.colours.line, width: 1 }, ticks: { show: false }, font: "11px system-ui", gap: 4 };
    const plot = new uPlot(
      {
        width: Math.max(80, place.clientWidth),
        height,
        legend: { show: false },
        cursor: { sync: { key: sync.key }, y: false, drag: { setScale: false }, points: { size: 5 } },
        padding: [6, 6, wide ? 0 : 4, 0],
        scales: { y: { range: wide ? scoreRange : this.data.frames ? () => [0, this.top] : channelRange } },
        axes: [
          { ...axis, show: wide, size: 22, values: (_, times) => times.map((time) => clockMs(1e3 * time)), space: 80 },
          { ...axis, size: 44, space: wide ? 28 : 18, values: (_, values) => values.map((one) => number(one)) },
        ],
        series: [{}, ...series],
        hooks: { drawClear: [(made) => this.shadeIn(made)], setCursor: [(made) => this.read(made)] },
      },
      [[], [], []],
      place,
    );
    this.charts.push({ plot, place, box, name, share, value, channel, height });
  }

  draw() {
    if (this.drawn) return;
    this.drawn = true;
    requestAnimationFrame(() => {
      this.drawn = false;
      if (this.data) this.update();
    });
  }

  update() {
    const { data, charts } = this;
    if (!charts.length) return;
    if (data.row.length) this.empty(null);
    const seconds = data.time.map((ms) => ms / 1e3);
    charts[0].plot.setData([seconds, data.score, data.limit]);
    // Regions have one scale, so that they can be compared.
    if (data.frames) this.top = 1.05 * Math.max(0, ...this.places.flatMap((place) => data.values[place])) || 1;
    this.places.forEach((place, at) => {
      const chart = charts[at + 1];
      chart.plot.setData([seconds, data.values[place], data.reconstruction[place]]);
      const share = data.blame[place];
      setText(chart.share, percent(share));
      chart.share.classList.toggle("high", share >= 0.3);
      chart.box.setAttribute("aria-label", `${chart.channel.name}: ${percent(share)} of the blame`);
    });
    this.readAll(charts[0].plot.cursor.idx);
  }

  /** Values under the cursor, or the latest. */
  read(plot) {
    if (plot === this.charts[0]?.plot) this.readAll(plot.cursor.idx);
  }

  readAll(index) {
    const { data, charts } = this;
    if (!data || !data.row.length) return;
    const at = index ?? data.row.length - 1;
    const when = index === null || index === undefined ? "" : `${clockMs(data.time[at])}: `;
    const other = data.limit[at] === 1 ? "" : ` · limit ${number(data.limit[at])}`;
    setText(charts[0].value, `${when}${number(data.score[at])}${other}`);
    this.places.forEach((place, chart) => {
      const unit = data.channels[place].unit ? ` ${data.channels[place].unit}` : "";
      setText(charts[chart + 1].value, `${number(data.values[place][at], data.frames ? 3 : 4)}${unit}`);
    });
  }

  shadeIn(plot) {
    const { ctx, bbox } = plot;
    const right = bbox.left + bbox.width;
    ctx.save();
    for (const { start, end, kind } of this.events) {
      const from = Math.max(bbox.left, plot.valToPos(start, "x", true));
      const to = end === Infinity ? right : Math.min(right, plot.valToPos(end, "x", true));
      if (!(to >= from)) continue;
      const width = Math.max(2 * devicePixelRatio, to - from);
      ctx.fillStyle = this.colours[kind] ?? this.colours.warning;
      ctx.globalAlpha = 0.16;
      ctx.fillRect(from, bbox.top, width, bbox.height);
      ctx.globalAlpha = 1;
      ctx.fillRect(from, bbox.top, width, 2 * devicePixelRatio);
    }
    ctx.restore();
  }

  fit() {
    for (const { plot, place, height } of this.charts) {
      const width = place.clientWidth;
      if (width && Math.abs(width - plot.width) > 1) plot.setSize({ width, height });
    }
  }
}

/** From 0, with room for the limit as it is now; one that was learned later was far higher before. */
export function scoreRange(plot) {
  const limit = plot.data[2].at(-1) ?? 1;
  return [0, Math.max(1.25 * limit, 1.05 * Math.max(0, ...plot.data[1]))];
}

function channelRange(plot, low, high) {
  if (low === null || low === undefined) return [0, 1];
  const room = 0.08 * (high - low) || 0.05 * Math.abs(high) || 1;
  return [low - room, high + room];
}

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["ink", "muted", "line", "signal", "model", "limit", "warning", "serious", "critical", "silence"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
