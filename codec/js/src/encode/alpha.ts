// Alpha of tiles as exact samples.
import { type Box, heightOf, widthOf } from "../image/boxes.js";
import { internals } from "../index.js";
import { joined } from "./file.js";
import type { Colours } from "./tile.js";
import { encodePlane } from "./vp8l.js";

const [STEP, PICTURE] = [1, 0];

/** Whether some pixel is not opaque. */
export function isTransparent({ data }: Colours): boolean {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return true;
  return false;
}

/** The fourth bytes of a box of a picture; nothing where it is opaque. */
export function encodeAlpha(picture: Colours, box: Box): Uint8Array {
  const [width, height] = [widthOf(box), heightOf(box)];
  const plane = new Uint8Array(width * height);
  for (let row = 0, to = 0; row < height; row++) {
    let from = 4 * ((box.top + row) * picture.width + box.left) + 3;
    for (let column = 0; column < width; column++, from += 4) plane[to++] = picture.data[from] as number;
  }
  if (plane.every((value) => value === 255)) return new Uint8Array();
  const head = new Uint8Array(6);
  new DataView(head.buffer).setUint32(0, internals.crc32(plane), true);
  head.set([STEP, PICTURE], 4);
  return joined([head, encodePlane(width, height, plane)]);
}
