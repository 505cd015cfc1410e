// Tiles of few colours as exact samples, without loss: drawings, icons and writing.
import { type Box, heightOf, widthOf } from "../image/boxes.js";
import { internals } from "../index.js";
import { joined } from "./file.js";
import type { Colours } from "./tile.js";
import { encodeColours } from "./vp8l.js";

const [EXACT, STEP, PICTURE] = [1, 1, 0];
const COLOURS_MAX = 256;

/** Content of the tile that a box of a picture is; null where it has more than 256 colours. Those under alpha 0 do not count. */
export function encodeDrawing(picture: Colours, box: Box): Uint8Array | null {
  const [width, height] = [widthOf(box), heightOf(box)];
  const { data } = picture;
  const at = (place: number) => data[place] as number;
  const places = new Uint8Array(width * height);
  const found = new Map<number, number>();
  let place = 0; // of a colour under alpha 0: that of the pixel before
  for (let row = 0, to = 0; row < height; row++) {
    let from = 4 * ((box.top + row) * picture.width + box.left);
    for (let column = 0; column < width; column++, from += 4, to++) {
      if (at(from + 3)) {
        const colour = (at(from) << 16) | (at(from + 1) << 8) | at(from + 2);
        place = found.get(colour) ?? found.size;
        if (place === COLOURS_MAX) return null;
        found.set(colour, place);
      }
      places[to] = place;
    }
  }
  if (!found.size) found.set(0, 0);
  const colours = [...found.keys()].sort((one, other) => one - other);
  const ranks = new Uint8Array(COLOURS_MAX);
  for (const [rank, colour] of colours.entries()) ranks[found.get(colour) as number] = rank;
  for (const [to, one] of places.entries()) places[to] = ranks[one] as number;
  const samples = new Uint8Array(3 * width * height);
  for (const [to, rank] of places.entries()) {
    const colour = colours[rank] as number;
    samples[3 * to] = colour >> 16;
    samples[3 * to + 1] = colour >> 8;
    samples[3 * to + 2] = colour;
  }
  const head = new Uint8Array(7);
  head[0] = EXACT;
  new DataView(head.buffer).setUint32(1, internals.crc32(samples), true);
  head.set([STEP, PICTURE], 5);
  return joined([head, encodeColours(width, height, colours, places)]);
}
