// Arrays of yes and no as compressed bytes.
import { CorruptFile } from "../index.js";
import { inflateAll } from "./inflate.js";
import type { ExactKernels } from "./kernels.js";

/** `count` bits, a byte each; errors say `what` they are. Throws CorruptFile. */
export function unpackBits(kernels: ExactKernels, packed: Uint8Array, count: number, what: string): Uint8Array {
  const size = Math.ceil(count / 8);
  const octets = inflateAll(kernels, packed, size);
  if (octets?.length !== size) throw new CorruptFile(`${what} does not have ${size} bytes`, "tile");
  const bits = Uint8Array.from({ length: 8 * size }, (_, at) => ((octets[at >> 3] as number) >> (7 - (at & 7))) & 1);
  if (bits.subarray(count).some(Boolean)) throw new CorruptFile(`${what} has places outside`, "tile");
  return bits.subarray(0, count);
}
