// Signals, what is expected of them, score and events, the last rows of them, on a canvas.

const ROWS = 600;
const CHANNELS = 10;
const HEIGHT = 84;
const SCORE_HEIGHT = 120;
const LEFT = 64;
const GAP = 10;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear(null);
  }

  clear(detector) {
    this.detector = detector;
    this.shown = detector ? detector.channels.slice(0, CHANNELS) : [];
    this.rows = []; // {row, values, model, score}
    this.events = new Map(); // by start
    this.spans = this.shown.map((_, at) => [...(detector.ranges[at] ?? [0, 1])]);
  }

  /** Takes a scored row; `values` are its readings in the order of the channels. */
  add(found, values) {
    this.rows.push({ row: found.row, values, model: found.reconstruction, score: found.score });
    if (this.rows.length > 2 * ROWS) this.rows.splice(0, this.rows.length - ROWS);
    for (const { event } of found.updates) this.events.set(event.start, event);
    if (found.event) this.events.set(found.event.start, found.event);
  }

  draw() {
    const { canvas, shown } = this;
    const scale = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = shown.length * (HEIGHT + GAP) + SCORE_HEIGHT + 24;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(`--${name}`);
    const rows = this.rows.slice(-ROWS);
    const first = rows[0]?.row ?? 0;
    const step = (width - LEFT - 8) / Math.max(ROWS - 1, 1);
    const x = (row) => LEFT + (row - first) * step;
    const end = shown.length * (HEIGHT + GAP) + SCORE_HEIGHT;
    this.drawEvents(pen, x, first, end);
    shown.forEach((name, at) => {
      this.drawChannel(pen, name, at, rows, x, at * (HEIGHT + GAP));
    });
    this.drawScore(pen, rows, x, shown.length * (HEIGHT + GAP), width);
    pen.fillStyle = this.colour("soft");
    pen.textAlign = "left";
    pen.fillText(`row ${first}`, LEFT, end + 16);
    if (rows.length > 60) {
      const last = rows.at(-1).row;
      pen.textAlign = "right";
      pen.fillText(`${last}`, Math.min(x(last), width - 8), end + 16);
    }
  }

  drawEvents(pen, x, first, end) {
    pen.fillStyle = this.colour("band");
    for (const event of this.events.values()) {
      if (event.end <= first) continue;
      const from = Math.max(x(event.start), LEFT);
      pen.fillRect(from, 0, Math.max(x(event.end) - from, 2), end);
    }
  }

  drawChannel(pen, name, at, rows, x, top) {
    const span = this.spans[at];
    for (const { values } of rows) {
      const value = values[at];
      if (Number.isFinite(value)) [span[0], span[1]] = [Math.min(span[0], value), Math.max(span[1], value)];
    }
    const room = span[1] - span[0] || Math.abs(span[0]) || 1;
    const y = (value) => top + 6 + ((span[1] - value) / room) * (HEIGHT - 12);
    this.frame(pen, top, HEIGHT);
    pen.textAlign = "right";
    pen.fillStyle = this.colour("ink");
    pen.fillText(shortened(pen, name, LEFT - 8), LEFT - 8, top + HEIGHT / 2);
    pen.fillStyle = this.colour("soft");
    pen.fillText(brief(span[1]), LEFT - 8, top + 12);
    pen.fillText(brief(span[0]), LEFT - 8, top + HEIGHT - 3);
    this.line(pen, rows, x, (row) => row.model[at], y, "model", 1.2);
    this.line(pen, rows, x, (row) => row.values[at], y, "signal", 1.5);
  }

  drawScore(pen, rows, x, top, width) {
    const highest = Math.max(2, ...rows.map(({ score }) => score || 0));
    // Up to the limit as it is, above it by its logarithm: an alarm of 50 must not flatten what is usual.
    const tall = (score) => (score <= 1 ? score : 1 + Math.log(score));
    const y = (score) => top + SCORE_HEIGHT - 4 - (tall(score) / tall(highest)) * (SCORE_HEIGHT - 16);
    this.frame(pen, top, SCORE_HEIGHT);
    pen.textAlign = "right";
    pen.fillStyle = this.colour("ink");
    pen.fillText("score", LEFT - 8, top + SCORE_HEIGHT - 4);
    pen.fillStyle = this.colour("soft");
    pen.fillText(brief(highest), LEFT - 8, y(highest) + 4);
    pen.fillStyle = this.colour("alarm");
    pen.fillText("1", LEFT - 8, y(1) + 4);
    pen.strokeStyle = this.colour("alarm");
    pen.setLineDash([4, 4]);
    pen.beginPath();
    pen.moveTo(LEFT, y(1));
    pen.lineTo(width - 8, y(1));
    pen.stroke();
    pen.setLineDash([]);
    this.line(pen, rows, x, (row) => row.score, y, "score", 1.5);
  }

  frame(pen, top, height) {
    pen.strokeStyle = this.colour("line");
    pen.lineWidth = 1;
    pen.strokeRect(LEFT - 0.5, top + 0.5, this.canvas.clientWidth - LEFT - 8, height - 1);
  }

  line(pen, rows, x, read, y, colour, width) {
    pen.strokeStyle = this.colour(colour);
    pen.lineWidth = width;
    pen.beginPath();
    let down = false;
    for (const row of rows) {
      const value = read(row);
      if (!Number.isFinite(value)) {
        down = false;
        continue;
      }
      if (down) pen.lineTo(x(row.row), y(value));
      else pen.moveTo(x(row.row), y(value));
      down = true;
    }
    pen.stroke();
  }
}

export function brief(value) {
  const size = Math.abs(value);
  if (size && (size < 0.01 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

function shortened(pen, text, width) {
  let shown = text;
  while (shown.length > 1 && pen.measureText(shown).width > width) shown = `${shown.slice(0, -2)}…`;
  return shown;
}
