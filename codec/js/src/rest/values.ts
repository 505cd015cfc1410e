// What samples of more than 8 bits or with a range stand for.
import type { Header } from "../container/header.js";
import type { Numbers } from "../image/samples.js";
import { scaled, TOP } from "../image/values.js";

/** The value of each sample, by its number. */
export function valuesOf({ bits, range }: Header): Numbers {
  const top = 2 ** bits - 1;
  const all = Array.from({ length: top + 1 }, (_, sample) => sample);
  if (!range) return bits === 8 ? Uint8Array.from(all) : Uint16Array.from(all, (sample) => scaled(sample, top, TOP));
  const [low, high] = range;
  const step = (high - low) / top;
  const values = all.map((sample) => sample * step + low);
  if (Number.isInteger(step) && Number.isInteger(low) && low >= 0 && high <= TOP) {
    return high < 256 ? Uint8Array.from(values) : Uint16Array.from(values);
  }
  return Float32Array.from(values);
}
