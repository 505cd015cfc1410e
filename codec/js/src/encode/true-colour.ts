// A picture of many colours as a VP8L bit stream (RFC 9649): matches and a cache of colours, as it is or predicted.
import {
  type Bits,
  begun,
  DISTANCES,
  type Extra,
  Finder,
  LITERALS,
  MATCH_MIN,
  nearOf,
  prefixed,
  SYMBOLS,
  single,
  writeCode,
} from "./vp8l.js";

/** Bits of a place in the cache of colours. */
const CACHE_BITS = 10;
/** Prediction modes are given for squares of this many pixels, as a power of two. */
const SQUARE_BITS = 4;
const SQUARE = 1 << SQUARE_BITS;
/** Modes that are tried: black, left, above, above and left, two means, the one that is nearer, and a slope. */
const MODES = [0, 1, 2, 4, 7, 11, 12] as const;
type Mode = (typeof MODES)[number];

/** What a residual of a channel costs, in bits about. */
const COST = Float32Array.from({ length: 256 }, (_, x) => (x ? 2 + 2 * Math.log2(Math.min(x, 256 - x)) : 0));

/** The bit stream of pixels [height][width], 0xrrggbb each. */
export function encodeTrueColour(width: number, height: number, pixels: Uint32Array): Uint8Array {
  const plain = begun(width, height);
  plain.put(1, 0); // no transforms
  writePixels(plain, width, pixels, 255);
  const predicted = begun(width, height);
  predicted.put(3, 0b101); // red and blue less green
  predicted.put(3, 0b001); // a prediction
  predicted.put(3, SQUARE_BITS - 2);
  const green = pixels.map((pixel) => {
    const level = (pixel >> 8) & 255;
    return ((pixel & 0xff00) | ((((pixel >> 16) - level) & 255) << 16) | ((pixel - level) & 255)) >>> 0;
  });
  const { modes, residuals } = predictedFrom(width, height, green);
  predicted.put(1, 0);
  const code = writeCode(predicted, modes, SYMBOLS);
  for (let other = 0; other < 4; other++) single(predicted, 0);
  for (const mode of modes) code.put(predicted, mode);
  predicted.put(1, 0); // no more transforms
  writePixels(predicted, width, residuals, 0);
  const [one, other] = [plain.done(), predicted.done()];
  return other.length < one.length ? other : one;
}

/** Of each square the cheapest mode, and what it leaves. */
function predictedFrom(
  width: number,
  height: number,
  pixels: Uint32Array,
): { modes: number[]; residuals: Uint32Array } {
  const modes: number[] = [];
  const residuals = new Uint32Array(pixels.length);
  for (let top = 0; top < height; top += SQUARE) {
    for (let left = 0; left < width; left += SQUARE) {
      const [bottom, right] = [Math.min(top + SQUARE, height), Math.min(left + SQUARE, width)];
      const costs = MODES.map((mode) => {
        let cost = 0;
        for (let row = top; row < bottom; row++) {
          for (let column = left; column < right; column++) {
            const residual = residualAt(width, pixels, row, column, mode);
            cost +=
              (COST[residual >>> 16] as number) +
              (COST[(residual >> 8) & 255] as number) +
              (COST[residual & 255] as number);
          }
        }
        return cost;
      });
      const mode = MODES[costs.indexOf(Math.min(...costs))] as Mode;
      modes.push(mode);
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) {
          residuals[row * width + column] = residualAt(width, pixels, row, column, mode);
        }
      }
    }
  }
  return { modes, residuals };
}

/** What is left of a pixel behind its prediction, each channel by itself. */
function residualAt(width: number, pixels: Uint32Array, row: number, column: number, mode: Mode): number {
  const at = row * width + column;
  const pixel = pixels[at] as number;
  if (!at) return pixel;
  const left = (column ? pixels[at - 1] : 0) as number;
  if (!row) return less(pixel, left);
  const above = pixels[at - width] as number;
  if (!column) return less(pixel, above);
  const corner = pixels[at - width - 1] as number;
  return less(pixel, predictionOf(mode, left, above, corner));
}

function predictionOf(mode: Mode, left: number, above: number, corner: number): number {
  if (mode === 0) return 0;
  if (mode === 1) return left;
  if (mode === 2) return above;
  if (mode === 4) return corner;
  if (mode === 7) return (left & above) + (((left ^ above) & 0xfefefe) >>> 1);
  let [out, across, down] = [0, 0, 0];
  for (let shift = 0; shift < 24; shift += 8) {
    const [l, a, c] = [(left >> shift) & 255, (above >> shift) & 255, (corner >> shift) & 255];
    out |= Math.min(Math.max(l + a - c, 0), 255) << shift;
    across += Math.abs(a - c);
    down += Math.abs(l - c);
  }
  if (mode === 12) return out;
  return across < down ? left : above;
}

function less(one: number, other: number): number {
  return (
    ((((one >>> 16) - (other >>> 16)) & 255) << 16) |
    (((((one >> 8) & 255) - ((other >> 8) & 255)) & 255) << 8) |
    (((one & 255) - (other & 255)) & 255)
  );
}

/** Pixels by matches, cache and literals. `alpha`: that of all, in which hashes of the cache count it. */
function writePixels(bits: Bits, width: number, pixels: Uint32Array, alpha: number): void {
  const finder = new Finder(pixels);
  const cache = new Uint32Array(1 << CACHE_BITS);
  const filled = new Uint8Array(1 << CACHE_BITS);
  const keep = (pixel: number) => {
    const place = Math.imul(0x1e35a7bd, (alpha << 24) | pixel) >>> (32 - CACHE_BITS);
    const known = filled[place] && cache[place] === pixel;
    cache[place] = pixel;
    filled[place] = 1;
    return known ? place : -1;
  };
  /** Symbols in green; behind them a literal's pixel, or what a match has more. */
  const numbers: number[] = [];
  const behind: (number | { length: Extra; place: number; distance: Extra } | null)[] = [];
  let next = finder.longest(0);
  for (let at = 0; at < pixels.length; ) {
    const { length, distance } = next;
    finder.add(at);
    next = finder.longest(at + 1);
    // A match that begins a pixel later and is longer is worth a literal.
    const literal = length < MATCH_MIN || next.length > length;
    if (literal) {
      const pixel = pixels[at++] as number;
      const place = keep(pixel);
      numbers.push(place < 0 ? (pixel >> 8) & 255 : SYMBOLS + place);
      behind.push(place < 0 ? pixel : null);
      continue;
    }
    const [number, more] = prefixed(length);
    const [place, rest] = prefixed(nearOf(distance, width));
    numbers.push(LITERALS + number);
    behind.push({ length: more, place, distance: rest });
    for (const end = at + length; at < end; at++) {
      keep(pixels[at] as number);
      if (at > end - length) finder.add(at);
    }
    next = finder.longest(at);
  }
  bits.put(1, 1);
  bits.put(4, CACHE_BITS);
  bits.put(1, 0); // one group of codes
  const literals = behind.filter((one) => typeof one === "number");
  const places = behind.flatMap((one) => (one && typeof one === "object" ? [one.place] : []));
  const green = writeCode(bits, numbers, SYMBOLS + (1 << CACHE_BITS));
  const red = writeCode(bits, literals.length ? literals.map((pixel) => pixel >>> 16) : [0], LITERALS);
  const blue = writeCode(bits, literals.length ? literals.map((pixel) => pixel & 255) : [0], LITERALS);
  single(bits, alpha);
  const far = writeCode(bits, places.length ? places : [0], DISTANCES);
  numbers.forEach((number, at) => {
    const more = behind[at];
    green.put(bits, number);
    if (typeof more === "number") {
      red.put(bits, more >>> 16);
      blue.put(bits, more & 255);
    } else if (more) {
      bits.put(...more.length);
      far.put(bits, more.place);
      bits.put(...more.distance);
    }
  });
}
