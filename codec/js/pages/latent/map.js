// The map: points at two numbers of their codes, coloured by label, and where the decoded code is.

const COLOURS = [
  "#4477aa",
  "#ee6677",
  "#228833",
  "#ccbb44",
  "#66ccee",
  "#aa3377",
  "#ee8866",
  "#777777",
  "#44bb99",
  "#9988dd",
];
const REACH = 3.2; // deviations from the mean to an edge
export const NEAR = 12; // pixels within which a click takes a point, or a drag the way between two

export class CodeMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.points = document.createElement("canvas"); // they are drawn once
  }

  /** `codes` as codesOf gives them, their spread, and which numbers are shown. */
  show(codes, spread, axes) {
    Object.assign(this, { codes, spread, axes });
    this.names = [...new Set(codes.labels ?? [])].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
    this.drawPoints();
  }

  colourOf(label) {
    const place = this.names.indexOf(label);
    return place < 0 ? COLOURS[0] : COLOURS[place % COLOURS.length];
  }

  get side() {
    return this.canvas.clientWidth;
  }

  /** Pixels of a number of a code along an axis, and the other way. */
  pixel(value, axis) {
    const { mean, deviation } = this.spread;
    const at = this.axes[axis];
    const place = ((value - mean[at]) / (2 * REACH * deviation[at]) + 0.5) * this.side;
    return axis ? this.side - place : place;
  }

  value(pixel, axis) {
    const { mean, deviation } = this.spread;
    const at = this.axes[axis];
    const place = (axis ? this.side - pixel : pixel) / this.side - 0.5;
    return mean[at] + place * 2 * REACH * deviation[at];
  }

  /** The number of the point that is nearest to a place, or null. */
  nearest(x, y) {
    let best = null;
    let least = NEAR ** 2;
    this.codes.vectors.forEach((one, number) => {
      const away = (this.pixel(one[this.axes[0]], 0) - x) ** 2 + (this.pixel(one[this.axes[1]], 1) - y) ** 2;
      if (away < least) [best, least] = [number, away];
    });
    return best;
  }

  /** How far a place is from the way between two codes, and at which share of it. */
  wayFrom(x, y, from, to) {
    const [start, end] = [from, to].map((one) => [0, 1].map((axis) => this.pixel(one[this.axes[axis]], axis)));
    const [dx, dy] = [end[0] - start[0], end[1] - start[1]];
    const along = ((x - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy || 1);
    const share = Math.min(Math.max(along, 0), 1);
    return { share, away: Math.hypot(start[0] + share * dx - x, start[1] + share * dy - y) };
  }

  drawPoints() {
    const scale = devicePixelRatio || 1;
    const side = Math.round(this.side * scale);
    for (const canvas of [this.points, this.canvas]) canvas.width = canvas.height = side;
    const pen = this.points.getContext("2d");
    pen.scale(scale, scale);
    const { vectors, labels } = this.codes;
    const size = vectors.length > 4000 ? 1.4 : vectors.length > 800 ? 2 : 3;
    pen.globalAlpha = 0.75;
    vectors.forEach((one, number) => {
      pen.fillStyle = this.colourOf(labels?.[number]);
      pen.beginPath();
      pen.arc(this.pixel(one[this.axes[0]], 0), this.pixel(one[this.axes[1]], 1), size, 0, 7);
      pen.fill();
    });
  }

  /** Points, the way between two codes, and the code. */
  draw(code, from, to) {
    const scale = devicePixelRatio || 1;
    const pen = this.canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.scale(scale, scale);
    pen.lineWidth = 1;
    const place = (one) => [this.pixel(one[this.axes[0]], 0), this.pixel(one[this.axes[1]], 1)];
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.beginPath();
    pen.moveTo(this.side / 2, 0);
    pen.lineTo(this.side / 2, this.side);
    pen.moveTo(0, this.side / 2);
    pen.lineTo(this.side, this.side / 2);
    pen.stroke();
    pen.drawImage(this.points, 0, 0, this.side, this.side);
    pen.strokeStyle = style.getPropertyValue("--ink");
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.lineWidth = 1.5;
    if (from && to) {
      pen.beginPath();
      pen.moveTo(...place(from));
      pen.lineTo(...place(to));
      pen.stroke();
    }
    for (const end of [from, to]) {
      if (!end) continue;
      const [x, y] = place(end);
      pen.fillRect(x - 3.5, y - 3.5, 7, 7);
    }
    const [x, y] = place(code);
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.arc(x, y, 8, 0, 7);
    pen.moveTo(x - 13, y);
    pen.lineTo(x - 4, y);
    pen.moveTo(x + 4, y);
    pen.lineTo(x + 13, y);
    pen.moveTo(x, y - 13);
    pen.lineTo(x, y - 4);
    pen.moveTo(x, y + 4);
    pen.lineTo(x, y + 13);
    pen.stroke();
  }
}
