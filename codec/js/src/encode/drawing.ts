// Tiles of graphics as exact samples: without loss, or with levels that are multiples of a step.
import { type Box, heightOf, widthOf } from "../image/boxes.js";
import { internals } from "../index.js";
import { joined } from "./file.js";
import type { Colours } from "./tile.js";
import { encodeTrueColour } from "./true-colour.js";
import { encodeColours } from "./vp8l.js";

const [EXACT, PICTURE] = [1, 0];
const COLOURS_MAX = 256;
/** Shifts of red, green and blue in a pixel. */
const CHANNELS = [16, 8, 0] as const;

/** A tile of a picture in pixels 0xrrggbb; those under alpha 0 are as the ones before, and so do not count. */
export function pixelsOf(picture: Colours, box: Box): Uint32Array {
  const { data } = picture;
  const at = (place: number) => data[place] as number;
  const width = widthOf(box);
  const pixels = new Uint32Array(width * heightOf(box));
  let colour = -1;
  let unseen = 0; // pixels before the first that is seen
  for (let row = 0, to = 0; row < heightOf(box); row++) {
    let from = 4 * ((box.top + row) * picture.width + box.left);
    for (let column = 0; column < width; column++, from += 4, to++) {
      if (at(from + 3)) colour = (at(from) << 16) | (at(from + 1) << 8) | at(from + 2);
      if (colour < 0) unseen = to + 1;
      else pixels[to] = colour;
    }
  }
  return pixels.fill(pixels[unseen] ?? 0, 0, unseen);
}

/** The colours that occur, ascending; null where they are more than 256. */
export function fewColours(pixels: Uint32Array): number[] | null {
  const found = new Set<number>();
  for (const pixel of pixels) if (found.add(pixel).size > COLOURS_MAX) return null;
  return [...found].sort((one, other) => one - other);
}

/** Content of a tile of such pixels, and its mean squared error. */
export function encodeDrawing(pixels: Uint32Array, box: Box, step = 1): { content: Uint8Array; error: number } {
  const [width, height] = [widthOf(box), heightOf(box)];
  const indices = new Uint32Array(pixels.length);
  const samples = new Uint8Array(3 * pixels.length);
  let error = 0;
  for (let place = 0, to = 0; place < pixels.length; place++) {
    let index = 0;
    for (const shift of CHANNELS) {
      const level = ((pixels[place] as number) >> shift) & 255;
      const nearest = Math.floor((level + (step >> 1)) / step);
      const kept = Math.min(nearest * step, 255);
      index |= nearest << shift;
      samples[to++] = kept;
      error += (level - kept) ** 2;
    }
    indices[place] = index;
  }
  const head = new Uint8Array(7);
  head[0] = EXACT;
  new DataView(head.buffer).setUint32(1, internals.crc32(samples), true);
  head.set([step, PICTURE], 5);
  const colours = fewColours(indices);
  let coded: Uint8Array;
  if (colours) {
    const ranks = new Map(colours.map((colour, rank) => [colour, rank]));
    coded = encodeColours(
      width,
      height,
      colours,
      Uint8Array.from(indices, (index) => ranks.get(index) as number),
    );
  } else coded = encodeTrueColour(width, height, indices);
  return { content: joined([head, coded]), error: error / samples.length };
}
