// All that a plain learned picture does not need, in a file of its own: exact samples, alpha, metadata.
import type { Box, Header } from "../container/header.js";
import type { Parts, Shown } from "../image/region.js";
import type { Samples } from "../image/samples.js";
import { internals } from "../index.js";
import type { Kernels } from "../network/kernels.js";
import { contents } from "./contents.js";
import { inflateAll } from "./inflate.js";
import { type ExactKernels, startKernels } from "./kernels.js";
import { completed } from "./tile.js";

/** What it does with kernels that live as long as those of the learned parts. */
class Exact {
  constructor(private readonly kernels: ExactKernels) {}

  /** All that was packed, where it has at most `limit` bytes and ends where the input does; null otherwise. */
  inflateAll(packed: Uint8Array, limit: number): Uint8Array | null {
    return inflateAll(this.kernels, packed, limit);
  }

  /** A tile from its parts and from what is shown of its learned one. Throws CorruptFile, VersionError. */
  completed(
    header: Header,
    number: number,
    parts: Parts,
    learned: Samples<Uint16Array> | null,
    shown: Box,
    scale: number,
  ): Shown {
    return completed(this.kernels, header, number, parts, learned, shown, scale);
  }
}

const open = new WeakMap<Kernels, Promise<Exact>>();

export { contents };

export async function openExact(beside: Kernels): Promise<Exact> {
  let found = open.get(beside);
  if (!found) {
    found = startKernels().then((kernels) => new Exact(kernels));
    open.set(beside, found);
  }
  return await found;
}

internals.provideExact({ contents, openExact });
