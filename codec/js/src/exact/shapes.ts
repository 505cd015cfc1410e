// Shapes that a picture has several times, such as letters: each is shown once and copied to its other places.
import { internals } from "../index.js";
import { inflateAll } from "./inflate.js";
import type { ExactKernels } from "./kernels.js";

const { FieldError, Fields } = internals;

const PACKED_MAX = 2 ** 20;
/** Of the pixels of a tile: what all boxes together may have. */
const AREA_FACTOR = 4;

/** A rectangle, and the place that its pixels come from: its own where it shows a new shape. */
interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
  from: Box | null;
}

/** The boxes within a tile, in their order. Throws FieldError. */
export function unpackBoxes(kernels: ExactKernels, packed: Uint8Array, height: number, width: number): Box[] {
  const unpacked = inflateAll(kernels, packed, PACKED_MAX);
  if (!unpacked) throw new FieldError("their list of shapes does not decompress");
  const fields = new Fields(unpacked);
  const count = fields.varint();
  if (count > fields.rest) throw new FieldError("their list of shapes is cut off");
  const numbers = (size: number) => Array.from({ length: size }, () => fields.varint());
  const [shapes, across, down] = [numbers(count), numbers(count), numbers(count)];
  const fresh = shapes.filter((shape) => !shape).length;
  const [widths, heights] = [numbers(fresh), numbers(fresh)];
  if (fields.rest) throw new FieldError("their list of shapes has more bytes than it needs");
  const shown: Box[] = [];
  let [right, bottom, area] = [0, 0, 0];
  return shapes.map((shape, at) => {
    const from = shape ? shown[shape - 1] : null;
    if (from === undefined) throw new FieldError(`they have the shape ${shape}, and ${shown.length} were shown`);
    const wide = from?.width ?? (widths[shown.length] as number);
    const high = from?.height ?? (heights[shown.length] as number);
    const left = right + step(across[at] as number);
    right = left + wide;
    bottom += step(down[at] as number);
    const top = bottom - high;
    if (left < 0 || top < 0 || wide < 1 || high < 1 || right > width || bottom > height)
      throw new FieldError("a shape lies outside the tile");
    area += wide * high;
    if (area > AREA_FACTOR * height * width) throw new FieldError("shapes have too many pixels");
    const box = { left, top, width: wide, height: high, from };
    if (!from) shown.push(box);
    return box;
  });
}

/** Put copies where they belong, in place, in [height][width][channels]. */
export function copyShapes(indices: Uint16Array, boxes: Box[], width: number, channels: number): void {
  for (const { left, top, width: wide, height: high, from } of boxes) {
    if (!from) continue;
    const at = (x: number, y: number) => channels * (y * width + x);
    // All rows first: a copy may lie over the place that it comes from.
    const rows = Array.from({ length: high }, (_, y) =>
      indices.slice(at(from.left, from.top + y), at(from.left + wide, from.top + y)),
    );
    for (const [y, row] of rows.entries()) indices.set(row, at(left, top + y));
  }
}

function step(number: number): number {
  return number % 2 ? -(number + 1) / 2 : number / 2;
}
