// What samples stand for: bytes, whole numbers of 16 bits, or floating-point numbers.
import type { Header } from "../container/header.js";
import { theRest } from "./rest.js";
import { blank, type Numbers, type Samples } from "./samples.js";

export type Stored = Samples<Uint8Array | Uint16Array>;

export const TOP = 65535;

/** Samples of 0..top as those of 0..wanted, rounded. */
export function scaled(sample: number, top: number, wanted: number): number {
  return Math.floor((sample * wanted + Math.floor(top / 2)) / top);
}

/** The nearest of 256 levels of each sample, by its number. */
export function levelsOf(bits: number): Uint8Array {
  const top = 2 ** bits - 1;
  return Uint8Array.from({ length: top + 1 }, (_, sample) => scaled(sample, top, 255));
}

/** Whether samples stand for themselves. */
export function isPlain({ bits, range }: Header): boolean {
  return bits === 8 && !range;
}

/** Whether a picture has one channel beside alpha. */
export function isGrey(header: Header): boolean {
  return header.mode === "L" || header.mode === "LA";
}

/** Zeros of so many bits. */
export function blankPlane(
  width: number,
  height: number,
  channels: number,
  bits: number,
): Samples<Uint8Array | Uint16Array> {
  const count = width * height * channels;
  return { width, height, channels, data: bits === 8 ? new Uint8Array(count) : new Uint16Array(count) };
}

/** Samples of three channels as those of a picture: of one channel where it is grey, in bytes where they fit. */
export function ofPicture(samples: Samples<Uint16Array>, header: Header): Stored {
  const { width, height } = samples;
  const grey = isGrey(header);
  const found = blankPlane(width, height, grey ? 1 : 3, header.bits);
  const { data } = found;
  if (!grey) data.set(samples.data);
  for (let i = 0, from = 0; grey && i < data.length; i++, from += 3) {
    const sum =
      (samples.data[from] as number) + (samples.data[from + 1] as number) + (samples.data[from + 2] as number);
    data[i] = Math.floor((sum + 1) / 3); // the three are nearly equal
  }
  return found;
}

/** What the samples of a picture stand for, and alpha behind each pixel's. */
export function valued(colours: Stored, alpha: Stored | null, header: Header): Numbers {
  const table = isPlain(header) ? Uint8Array.from({ length: 256 }, (_, sample) => sample) : theRest().valuesOf(header);
  const { channels } = colours;
  const count = colours.width * colours.height;
  const data = blank(table, count * (alpha ? channels + 1 : channels));
  for (let pixel = 0, from = 0, to = 0; pixel < count; pixel++) {
    for (let channel = 0; channel < channels; channel++) data[to++] = table[colours.data[from++] as number] as number;
    if (alpha) data[to++] = alpha.data[pixel] as number;
  }
  return data;
}

/** Samples as red, green, blue and alpha of 8 bits, as a canvas takes them. */
export function toRgba(samples: Stored, levels: Uint8Array, alpha: Stored | null): Uint8ClampedArray<ArrayBuffer> {
  const count = samples.width * samples.height;
  const data = new Uint8ClampedArray(4 * count);
  const deep = alpha?.data instanceof Uint16Array;
  const grey = samples.channels === 1;
  for (let pixel = 0, from = 0, to = 0; pixel < count; pixel++) {
    const red = samples.data[from++] as number;
    const green = grey ? red : (samples.data[from++] as number);
    data[to++] = levels[red] as number;
    data[to++] = levels[green] as number;
    data[to++] = levels[grey ? red : (samples.data[from++] as number)] as number;
    const opacity = alpha ? (alpha.data[pixel] as number) : 255;
    data[to++] = deep ? scaled(opacity, TOP, 255) : opacity;
  }
  return data;
}
