// Raw DEFLATE, bounded on both sides.
import type { ExactKernels } from "./kernels.js";

/** What was packed, whether that is all of it, and how many bytes of the input it took. */
export interface Inflated {
  data: Uint8Array;
  ended: boolean;
  consumed: number;
}

/** At most `limit` bytes of what was packed. */
export function inflate(kernels: ExactKernels, packed: Uint8Array, limit: number): Inflated {
  return kernels.within(() => {
    const result = kernels.take(12);
    const bytes = kernels.put(packed);
    const run = (out: number, most: number) => {
      kernels.run.inflate(result, bytes, packed.length, out, most);
      const [consumed = 0, made = 0, ended] = kernels.words(result, 3);
      return { consumed, made, ended: ended === 1 };
    };
    const { made } = run(0, limit); // counted first: no memory is taken for what is not there
    const out = kernels.take(made);
    const { consumed, ended } = run(out, limit);
    return { data: kernels.bytes(out, made).slice(), ended, consumed };
  });
}

/** All that was packed, where it has at most `limit` bytes and ends where the input does; null otherwise. */
export function inflateAll(kernels: ExactKernels, packed: Uint8Array, limit: number): Uint8Array | null {
  const { data, ended, consumed } = inflate(kernels, packed, limit);
  return ended && consumed === packed.length ? data : null;
}
