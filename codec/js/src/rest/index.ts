// The rest of the decoder, in a file of its own: what a plain learned picture does not need. Exact samples, alpha,
// metadata, other scales, pictures that are turned, and the list of chunks.
import type { Box, Header } from "../container/header.js";
import { inflateAll } from "../exact/inflate.js";
import { type ExactKernels, startKernels } from "../exact/kernels.js";
import type { Parts, Shown } from "../image/region.js";
import type { Samples } from "../image/samples.js";
import { internals } from "../index.js";
import type { Kernels } from "../network/kernels.js";
import { contents } from "./contents.js";
import { turned, turnedBox } from "./samples.js";
import { completed } from "./tile.js";
import { valuesOf } from "./values.js";

/** What it does with kernels that live as long as those of the learned parts. */
class Rest {
  constructor(private readonly kernels: ExactKernels) {}

  /** All that was packed, where it has at most `limit` bytes and ends where the input does; null otherwise. */
  inflateAll(packed: Uint8Array, limit: number): Uint8Array | null {
    return inflateAll(this.kernels, packed, limit);
  }

  /** A tile from its parts and from what is shown of its learned one, `small` where that is to scale already. Throws CorruptFile, VersionError. */
  completed(
    header: Header,
    number: number,
    parts: Parts,
    learned: Samples<Uint16Array> | null,
    shown: Box,
    scale: number,
    small: boolean,
  ): Shown {
    return completed(this.kernels, header, number, parts, learned, shown, scale, small);
  }
}

const open = new WeakMap<Kernels, Promise<Rest>>();

export { contents, turned, turnedBox, valuesOf };

export async function openRest(beside: Kernels): Promise<Rest> {
  let found = open.get(beside);
  if (!found) {
    found = startKernels().then((kernels) => new Rest(kernels));
    open.set(beside, found);
  }
  return await found;
}

internals.provideRest({ contents, openRest, turned, turnedBox, valuesOf });
