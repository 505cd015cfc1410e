// The rows of one event: its score and channels over time, and what was measured and expected at the worst moment.

import { get } from "./api.js";
import { colours, scoreRange } from "./charts.js";
import { el } from "./dom.js";
import { date, number, percent, time } from "./format.js";

const HEIGHT = 104;
const DAY_MS = 86_400_000;

/** The event's rows as an element; null where none are kept. */
export async function curve(event) {
  const found = await get(`/api/events/${event.id}/curve`).catch(() => null);
  const rows = found ? found.time.map((ns, row) => (ns === null ? null : row)).filter((row) => row !== null) : [];
  if (!rows.length) return null;
  const seconds = rows.map((row) => found.time[row] / 1e9);
  const score = rows.map((row) => found.score[row]);
  const blamed = event.event.channels ?? [];
  const signal = event.kind === "missing" || event.kind === "stuck"; // its channels have no shares in a score
  const box = el("div", { className: "curve" });
  const worst = score.reduce((best, value, place) => (value !== null && (best < 0 || value > score[best]) ? place : best), -1);
  const tracks = found.channels.map((channel) => ({ ...channel, values: rows.map((row) => channel.values[row]), blamed: signal ? undefined : blamed.find((one) => one.name === channel.name) }));
  for (const track of tracks) box.append(figure(event, seconds, track, worst));
  box.append(figure(event, seconds, { name: "Score", values: score, limit: true }, worst));
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const to = seconds.at(-1) - seconds[0] > 0 && date(seconds[0]) !== date(seconds.at(-1)) ? `${date(seconds.at(-1))}, ` : "";
  box.append(el("p", { className: "muted" }, `${date(seconds[0])}, ${time(seconds[0])} to ${to}${time(seconds.at(-1))}, time in ${zone}. Shaded: the event; ● measured and ○ expected at its worst moment.`));
  return box;
}

function figure(event, seconds, track, worst) {
  const unit = track.unit ? ` ${track.unit}` : "";
  const caption = el("figcaption", {}, el("b", {}, track.name), ...said(track, unit));
  const place = el("div", { className: "plot", role: "img", ariaLabel: caption.textContent });
  const made = el("figure", {}, caption, place);
  const expected = track.blamed?.expected ?? null;
  const level = seconds.map((_, row) => (track.limit ? 1 : row === worst ? expected : null));
  new ResizeObserver((seen, observer) => {
    if (!place.isConnected) return observer.disconnect();
    const width = Math.floor(place.clientWidth);
    if (!width) return;
    if (made.plot) return made.plot.width === width || made.plot.setSize({ width, height: HEIGHT });
    made.plot = plot(place, width, seconds, track, level, event, worst);
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => place.isConnected && made.plot?.redraw(false));
  return made;
}

/** What was measured of a channel, and what was expected: elements. */
export function said({ blamed, limit, values }, unit) {
  if (limit) return [el("span", { className: "muted" }, `at most ${number(Math.max(0, ...values))} times the limit`)];
  if (!blamed) return [];
  const parts = [el("span", { className: "share" }, `${percent(blamed.share)} of the blame`)];
  if (blamed.measured === undefined) return parts;
  const measured = blamed.measured === null ? "no value" : `${number(blamed.measured, 4)}${unit}`;
  const direction = blamed.direction ? `, ${{ above: "too high", below: "too low" }[blamed.direction]}` : "";
  const usual = blamed.expected_from === "centre of training" ? "usual" : "expected";
  parts.push(el("span", {}, `measured ${measured}${blamed.expected === null ? "" : `, ${usual} ${number(blamed.expected, 4)}${unit}`}${direction}`));
  return parts;
}

function plot(place, width, seconds, track, level, event, worst) {
  const [from, to] = [event.start / 1e9, event.end === null ? seconds.at(-1) : event.end / 1e9];
  const colour = (name) => () => colours()[name];
  const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui", gap: 4 };
  const line = { points: { show: false } };
  return new uPlot(
    {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 8, 0, 0],
      scales: { x: { range: (_, low, high) => (high > low ? [low, high] : [low - 1, high + 1]) }, y: { range: track.limit ? scoreRange : withLevel } },
      axes: [
        { ...axis, size: 20, space: 70, values: (_, times) => labels(times) },
        { ...axis, size: 48, space: 24, values: (_, values) => values.map((one) => number(one)) },
      ],
      series: [{}, { ...line, stroke: colour(track.limit ? "ink" : "signal"), width: 1.5, spanGaps: true }, { ...line, stroke: colour(track.limit ? "limit" : "model"), width: 1.5, dash: [5, 3] }],
      hooks: {
        drawClear: [
          (made) => {
            const { ctx, bbox } = made;
            const left = Math.max(bbox.left, made.valToPos(from, "x", true));
            const right = Math.min(bbox.left + bbox.width, made.valToPos(to, "x", true));
            ctx.save();
            ctx.globalAlpha = 0.16;
            ctx.fillStyle = colours()[event.severity] ?? colours().warning;
            ctx.fillRect(left, bbox.top, Math.max(2 * devicePixelRatio, right - left), bbox.height);
            ctx.restore();
          },
        ],
        draw: [
          (made) => {
            if (worst >= 0 && track.values[worst] !== null) mark(made, seconds[worst], track.values[worst], track.limit ? null : level[worst]);
          },
        ],
      },
    },
    [seconds, track.values, level],
    place,
  );
}

/** The worst moment: a dot at what was measured, joined to a ring at what was expected. */
function mark(made, at, measured, expected) {
  const { ctx } = made;
  const [x, y, size] = [made.valToPos(at, "x", true), made.valToPos(measured, "y", true), 3.5 * devicePixelRatio];
  const { critical, model } = colours();
  ctx.save();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  if (expected !== null) {
    const other = made.valToPos(expected, "y", true);
    ctx.strokeStyle = model;
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.lineTo(x, other);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    ctx.arc(x, other, size, 0, 7);
    ctx.stroke();
  }
  ctx.beginPath();
  ctx.arc(x, y, size, 0, 7);
  ctx.fillStyle = critical;
  ctx.fill();
  ctx.restore();
}

/** Room for the values and for what was expected. */
function withLevel(made) {
  const all = [...made.data[1], ...made.data[2]].filter((value) => value !== null && value !== undefined);
  if (!all.length) return [0, 1];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = 0.1 * (high - low) || 0.05 * Math.abs(high) || 1;
  return [low - room, high + room];
}

/** The clock at each mark, with the day where it begins or is another one. */
function labels(times) {
  const wide = times.length > 1 && times.at(-1) - times[0] > DAY_MS / 1e3;
  return times.map((at, place) => (wide && (place === 0 || date(at) !== date(times[place - 1])) ? date(at) : time(at)));
}
