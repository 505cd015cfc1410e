// The level at which a file has the bytes that are asked for, in few encodes.
import { InvalidArgument } from "../index.js";

export const LEVEL_MAX = 2048;
/** Of a limit of bytes: how far below it is near enough. */
const NEAR = 0.005;
/** Of photographs: the logarithm of bits per pixel at quality 1, and its rise up to 100. */
const [USUAL, RISE] = [-2.5, 3];
/** Trials that are placed by interpolation; those after halve what is left. */
const INTERPOLATED = 8;

/** A file of at most `limit` bytes and nearly as many. Throws InvalidArgument where even quality 1 has more. */
export async function withinBytes(
  limit: number,
  pixels: number,
  encode: (level: number) => Promise<Uint8Array<ArrayBuffer>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const wanted = Math.log(Math.max(limit, 1));
  let below: { level: number; value: number; file: Uint8Array<ArrayBuffer> } | null = null;
  let above: { level: number; value: number } | null = null;
  let level = Math.round(LEVEL_MAX * Math.min(Math.max((wanted - Math.log(pixels / 8) - USUAL) / RISE, 0), 1));
  for (let count = 1; ; count++) {
    const file = await encode(level);
    const value = Math.log(file.length);
    if (value <= wanted) below = { level, value, file };
    else above = { level, value };
    if (below && (below.value >= wanted + Math.log1p(-NEAR) || below.level === LEVEL_MAX)) return below.file;
    const [lowest, highest]: [number, number] = [below?.level ?? -1, above?.level ?? LEVEL_MAX + 1];
    if (highest - lowest <= 1) {
      if (below) return below.file;
      throw new InvalidArgument(`even quality 1 needs ${file.length} bytes, more than the ${limit} asked for`);
    }
    const middle = wanted + Math.log1p(-NEAR) / 2;
    let next = (lowest + highest) / 2;
    if (count < INTERPOLATED) {
      const share =
        below && above && above.value > below.value ? (middle - below.value) / (above.value - below.value) : 0;
      next = share ? lowest + share * (highest - lowest) : level + ((middle - value) / RISE) * LEVEL_MAX;
    }
    level = Math.min(Math.max(Math.round(next), lowest + 1), highest - 1);
  }
}
