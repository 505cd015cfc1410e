// Colours that nobody sees, made so that they cost little.
import type { Colours } from "./tile.js";

const CHANNELS = 3;

/** A picture whose colours under alpha 0 go on smoothly from those that are seen. */
export function withoutHidden(picture: Colours): Colours {
  const { width, height } = picture;
  const count = width * height;
  const seen = Uint8Array.from({ length: count }, (_, pixel) => +(picture.data[4 * pixel + 3] !== 0));
  if (!seen.includes(0)) return picture;
  const colours = new Float32Array(CHANNELS * count);
  for (let at = 0; at < colours.length; at++) {
    colours[at] = picture.data[4 * Math.floor(at / CHANNELS) + (at % CHANNELS)] as number;
  }
  fillGaps(colours, seen, width, height);
  const data = Uint8ClampedArray.from(picture.data);
  for (let pixel = 0; pixel < count; pixel++) {
    if (!seen[pixel]) data.set(colours.subarray(CHANNELS * pixel, CHANNELS * (pixel + 1)), 4 * pixel);
  }
  return { width, height, data };
}

/** Fills what is not seen of [height][width][channels] from the means of ever larger squares. */
function fillGaps(colours: Float32Array, seen: Uint8Array, width: number, height: number): void {
  if (!seen.includes(0) || seen.length === 1) return;
  const [columns, rows] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const coarse = new Float32Array(CHANNELS * columns * rows);
  const counts = new Uint8Array(columns * rows);
  for (let pixel = 0; pixel < seen.length; pixel++) {
    if (!seen[pixel]) continue;
    const to = (Math.floor(pixel / width) >> 1) * columns + ((pixel % width) >> 1);
    counts[to] = (counts[to] as number) + 1;
    for (let channel = 0; channel < CHANNELS; channel++) {
      coarse[CHANNELS * to + channel] =
        (coarse[CHANNELS * to + channel] as number) + (colours[CHANNELS * pixel + channel] as number);
    }
  }
  for (let at = 0; at < coarse.length; at++) {
    coarse[at] = (coarse[at] as number) / Math.max(counts[Math.floor(at / CHANNELS)] as number, 1);
  }
  fillGaps(coarse, counts, columns, rows);
  for (let pixel = 0; pixel < seen.length; pixel++) {
    if (seen[pixel]) continue;
    const [left, right, across] = between((pixel % width) / 2 - 0.25, columns);
    const [top, bottom, down] = between(Math.floor(pixel / width) / 2 - 0.25, rows);
    const at = (row: number, column: number, channel: number) =>
      coarse[CHANNELS * (row * columns + column) + channel] as number;
    for (let channel = 0; channel < CHANNELS; channel++) {
      const above = at(top, left, channel) * (1 - across) + at(top, right, channel) * across;
      const below = at(bottom, left, channel) * (1 - across) + at(bottom, right, channel) * across;
      colours[CHANNELS * pixel + channel] = above * (1 - down) + below * down;
    }
  }
}

/** The two places that a position lies between, and how far it is beyond the first. */
function between(position: number, count: number): [number, number, number] {
  const first = Math.floor(position);
  return [Math.max(first, 0), Math.min(first + 1, count - 1), position - first];
}
