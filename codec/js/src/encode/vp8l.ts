// A plane of bytes, or a picture of few colours, as a VP8L bit stream (RFC 9649): one prediction for all or a list of
// colours, matches, and prefix codes. What pictures of many colours need of it is in true-colour.ts.

const SIGNATURE = 0x2f;
/** How a pixel is predicted: the mode's number, and the prediction from the pixels to the left, above and between. */
const PREDICTORS: readonly (readonly [number, (left: number, above: number, corner: number) => number])[] = [
  [1, (left) => left],
  [2, (_, above) => above],
  [12, (left, above, corner) => Math.min(Math.max(left + above - corner, 0), 255)],
];
export const LITERALS = 256;
export const SYMBOLS = LITERALS + 24;
export const DISTANCES = 40;
export const MATCH_MIN = 4;
const MATCH_MAX = 4096;
/** Places that are looked at for the longest match, and bits of what they are found by. */
const [PLACES_MAX, HASH_BITS] = [64, 16];
/** Numbers of distances up to this name places near a pixel; the largest of all. */
const [FAR, FARTHEST] = [120, 2 ** 20];
const LENGTH_MAX = 15;
/** The order in which lengths of the code for lengths are written, and the largest of them. */
const ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const ORDER_LENGTH_MAX = 7;
/** Prediction modes are given for squares of this many pixels. */
const SQUARE_BITS = 9;

export type Extra = readonly [count: number, bits: number];

interface Symbols {
  numbers: number[];
  /** Bits behind each symbol: how many, and what they say. */
  extra: Extra[];
}

/** Literals and lengths of matches, and how far back each match lies. */
interface Matched extends Symbols {
  distances: Map<number, { number: number; extra: Extra }>;
}

/** The bit stream of a plane [height][width], whose values are in green, red and blue alike. */
export function encodePlane(width: number, height: number, plane: Uint8Array): Uint8Array {
  const tried = PREDICTORS.map(([mode, predict]) =>
    stream(width, height, mode, matched(width, residual(width, plane, predict))),
  );
  return tried.reduce((one, other) => (other.length < one.length ? other : one));
}

/** The bit stream of a picture [height][width] of places in a list of 1..256 colours, 0xrrggbb each. */
export function encodeColours(
  width: number,
  height: number,
  colours: readonly number[],
  places: Uint8Array,
): Uint8Array {
  const bits = begun(width, height);
  bits.put(3, 0b111); // a list of colours
  bits.put(8, colours.length - 1);
  bits.put(1, 0);
  writeList(bits, colours);
  bits.put(1, 0); // no more transforms
  bits.put(2, 0); // no cache of colours, and one group of codes
  const packing = colours.length > 16 ? 0 : colours.length > 4 ? 1 : colours.length > 2 ? 2 : 3;
  const across = Math.ceil(width / 2 ** packing);
  writeSymbols(bits, matched(across, packing ? packed(width, height, across, packing, places) : places));
  return bits.done();
}

/** Colours as their differences from the ones before. */
function writeList(bits: Bits, colours: readonly number[]): void {
  const parts = [8, 16, 0].map((shift) =>
    colours.map((colour, at) => ((colour >> shift) - ((at ? (colours[at - 1] as number) : 0) >> shift)) & 255),
  );
  parts.push(colours.map((_, at) => (at ? 0 : 255))); // opaque
  const codes = parts.map((numbers, channel) => writeCode(bits, numbers, channel ? LITERALS : SYMBOLS));
  single(bits, 0);
  for (const at of colours.keys()) {
    for (const [channel, code] of codes.entries()) code.put(bits, parts[channel]?.[at] as number);
  }
}

/** Several small places in a byte, the first in its lowest bits. */
function packed(width: number, height: number, across: number, packing: number, places: Uint8Array): Uint8Array {
  const out = new Uint8Array(across * height);
  const each = 8 >> packing;
  for (let at = 0; at < places.length; at++) {
    const column = at % width;
    const to = Math.floor(at / width) * across + (column >> packing);
    out[to] = (out[to] as number) | ((places[at] as number) << (each * (column & ((1 << packing) - 1))));
  }
  return out;
}

function residual(width: number, plane: Uint8Array, predict: (typeof PREDICTORS)[0][1]): Uint8Array {
  return plane.map((value, at) => {
    const [column, first] = [at % width, at < width];
    if (first) return value - (column ? (plane[at - 1] as number) : 0);
    if (!column) return value - (plane[at - width] as number);
    return value - predict(plane[at - 1] as number, plane[at - width] as number, plane[at - width - 1] as number);
  });
}

/** Literals, and matches with what came before, the longest at each place. */
function matched(width: number, values: Uint8Array): Matched {
  const found: Matched = { numbers: [], extra: [], distances: new Map() };
  const finder = new Finder(values);
  for (let at = 0; at < values.length; ) {
    const { length, distance } = finder.longest(at);
    if (length < MATCH_MIN) {
      found.numbers.push(values[at] as number);
      found.extra.push([0, 0]);
    } else {
      const [number, extra] = prefixed(length);
      const [place, rest] = prefixed(nearOf(distance, width));
      found.distances.set(found.numbers.length, { number: place, extra: rest });
      found.numbers.push(LITERALS + number);
      found.extra.push(extra);
    }
    const end = at + (length < MATCH_MIN ? 1 : length);
    while (at < end) finder.add(at++);
  }
  return found;
}

/** The number of a distance: those of pixels beside and above have numbers of their own. */
export function nearOf(distance: number, width: number): number {
  return 1 + [width, 1, width + 1, width - 1, 2 * width, 2].indexOf(distance) || distance + FAR;
}

/** A number from 1 on as a symbol and bits behind it. */
export function prefixed(number: number): [number, Extra] {
  const less = number - 1;
  if (less < 4) return [less, [0, 0]];
  const high = 31 - Math.clz32(less);
  const bits = high - 1;
  return [2 * high + ((less >> bits) & 1), [bits, less & ((1 << bits) - 1)]];
}

/** Finds matches among places whose next bytes have the same hash, the last ones first. */
export class Finder {
  private readonly heads = new Int32Array(1 << HASH_BITS).fill(-1);
  private readonly before: Int32Array;

  constructor(private readonly values: Uint8Array | Uint32Array) {
    this.before = new Int32Array(values.length);
  }

  add(at: number): void {
    const hash = this.hash(at);
    this.before[at] = this.heads[hash] as number;
    this.heads[hash] = at;
  }

  longest(at: number): { length: number; distance: number } {
    const { values } = this;
    const limit = Math.min(MATCH_MAX, values.length - at);
    let best = { length: 0, distance: 0 };
    let place = this.heads[this.hash(at)] as number;
    const first = Math.max(0, at - FARTHEST + FAR);
    for (let tries = 0; place >= first && tries < PLACES_MAX && best.length < limit; tries++) {
      let length = 0;
      while (length < limit && values[place + length] === values[at + length]) length++;
      if (length > best.length) best = { length, distance: at - place };
      place = this.before[place] as number;
    }
    return best;
  }

  private hash(at: number): number {
    const { values } = this;
    let word = 0;
    for (let i = 0; i < MATCH_MIN; i++) word = Math.imul(word ^ (values[at + i] ?? 0), 0x9e3779b1);
    return (word ^ (word >>> 15)) >>> (32 - HASH_BITS);
  }
}

export function begun(width: number, height: number): Bits {
  const bits = new Bits();
  bits.put(8, SIGNATURE);
  bits.put(14, width - 1);
  bits.put(14, height - 1);
  bits.put(4, 0);
  return bits;
}

function stream(width: number, height: number, mode: number, symbols: Matched): Uint8Array {
  const bits = begun(width, height);
  bits.put(3, 0b101); // red and blue are green
  bits.put(3, 0b001); // a prediction, of which the mode is green in a picture of its own
  bits.put(3, SQUARE_BITS - 2);
  bits.put(1, 0);
  single(bits, mode);
  for (let code = 0; code < 4; code++) single(bits, 0);
  bits.put(1, 0); // no more transforms
  bits.put(2, 0); // no cache of colours, and one group of codes
  writeSymbols(bits, symbols);
  return bits.done();
}

/** Symbols in green, with their codes; red, blue and alpha are of one value. */
function writeSymbols(bits: Bits, symbols: Matched): void {
  const code = writeCode(bits, symbols.numbers, SYMBOLS);
  for (let other = 0; other < 3; other++) single(bits, 0);
  const places = [...symbols.distances.values()].map(({ number }) => number);
  const far = writeCode(bits, places.length ? places : [0], DISTANCES);
  symbols.numbers.forEach((number, at) => {
    code.put(bits, number);
    bits.put(...(symbols.extra[at] as Extra));
    const distance = symbols.distances.get(at);
    if (!distance) return;
    far.put(bits, distance.number);
    bits.put(...distance.extra);
  });
}

/** A code of one symbol below 256, which takes no bits. */
export function single(bits: Bits, symbol: number): void {
  bits.put(2, 0b01);
  bits.put(1, +(symbol > 1));
  bits.put(symbol > 1 ? 8 : 1, symbol);
}

/** Chooses and writes a prefix code for symbols. */
export function writeCode(bits: Bits, numbers: readonly number[], count: number): Code {
  const code = new Code(numbers, count, LENGTH_MAX);
  const [only] = numbers;
  if (only !== undefined && numbers.every((number) => number === only)) {
    single(bits, only);
    return code;
  }
  const { numbers: lengths, extra } = inZeros(code.lengths);
  const outer = new Code(lengths, ORDER.length, ORDER_LENGTH_MAX);
  const last = ORDER.reduce((found, symbol, at) => (outer.lengths[symbol] ? at : found), 3);
  bits.put(1, 0);
  bits.put(4, last - 3);
  for (const symbol of ORDER.slice(0, last + 1)) bits.put(3, outer.lengths[symbol] as number);
  bits.put(1, 0);
  lengths.forEach((length, at) => {
    outer.put(bits, length);
    bits.put(...(extra[at] as Extra));
  });
  return code;
}

/** Lengths, with runs of zeros in one symbol: 17 for 3 to 10, 18 for 11 to 138. */
function inZeros(lengths: Uint8Array): Symbols {
  const found: Symbols = { numbers: [], extra: [] };
  for (let at = 0; at < lengths.length; ) {
    let zeros = 0;
    while (lengths[at + zeros] === 0 && zeros < 138) zeros++;
    const run = zeros > 2;
    found.numbers.push(run ? (zeros > 10 ? 18 : 17) : (lengths[at] as number));
    found.extra.push(run ? (zeros > 10 ? [7, zeros - 11] : [3, zeros - 3]) : [0, 0]);
    at += run ? zeros : 1;
  }
  return found;
}

/** A prefix code, whose words are no longer than allowed. */
class Code {
  readonly lengths: Uint8Array;
  private readonly words: Uint32Array;
  /** A code of one symbol takes no bits. */
  private readonly free: boolean;

  constructor(numbers: readonly number[], count: number, longest: number) {
    const counts = new Uint32Array(count);
    for (const number of numbers) counts[number] = (counts[number] as number) + 1;
    this.lengths = lengthsOf(counts, longest);
    this.words = new Uint32Array(count);
    for (let length = 1, next = 0; length <= longest; length++, next *= 2) {
      for (let symbol = 0; symbol < count; symbol++) {
        if (this.lengths[symbol] === length) this.words[symbol] = mirrored(next++, length);
      }
    }
    this.free = counts.filter(Boolean).length === 1;
  }

  put(bits: Bits, symbol: number): void {
    if (!this.free) bits.put(this.lengths[symbol] as number, this.words[symbol] as number);
  }
}

/** Huffman's lengths; rare symbols count for more until none is too long. */
function lengthsOf(counts: Uint32Array, longest: number): Uint8Array {
  const used = [...counts.keys()].filter((symbol) => counts[symbol]);
  for (let least = 1; ; least *= 2) {
    const lengths = new Uint8Array(counts.length);
    let groups = used.map((symbol) => ({ count: Math.max(counts[symbol] as number, least), symbols: [symbol] }));
    if (used.length === 1) lengths[used[0] as number] = 1;
    while (groups.length > 1) {
      groups.sort((one, other) => one.count - other.count);
      const [one, other] = groups as [(typeof groups)[0], (typeof groups)[0]];
      const symbols = [...one.symbols, ...other.symbols];
      for (const symbol of symbols) lengths[symbol] = (lengths[symbol] as number) + 1;
      groups = [{ count: one.count + other.count, symbols }, ...groups.slice(2)];
    }
    if (lengths.every((length) => length <= longest)) return lengths;
  }
}

function mirrored(word: number, length: number): number {
  let out = 0;
  for (let bit = 0; bit < length; bit++) out |= ((word >> bit) & 1) << (length - 1 - bit);
  return out;
}

/** Bits, of each number the lowest first. */
export class Bits {
  private readonly bytes: number[] = [];
  private value = 0;
  private held = 0;

  put(count: number, number: number): void {
    this.value |= number << this.held;
    this.held += count;
    for (; this.held >= 8; this.held -= 8, this.value >>>= 8) this.bytes.push(this.value & 255);
  }

  done(): Uint8Array {
    return Uint8Array.from(this.held ? [...this.bytes, this.value & 255] : this.bytes);
  }
}
