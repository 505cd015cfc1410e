// Decoding for what is seen: in the workers of one pool, and only while the page is shown.
import type { DecodeOptions, Header, Tile } from "../index.js";
import { Pool, type PoolOptions } from "../worker/index.js";
import { type ModelSource, modelOf } from "./models.js";

export interface Wanted extends Pick<DecodeOptions, "region" | "scale" | "stored" | "signal"> {
  onTile: (tile: Tile, header: Header) => void;
  /** Looked at before the models of the page. */
  models?: readonly ModelSource[];
}

/** Milliseconds for which an idle worker is kept, with its memory and models. */
const IDLE = 4000;
let pool: Pool | null = null;
let wished: PoolOptions = {};

/** How the workers of the page begin, as options of `Pool`, for bundlers that do not find their script; before the first picture. */
export function workers(options: PoolOptions): void {
  wished = options;
}

/** Hands over each tile once the page is seen. Its errors are AezError, or the signal's reason. */
export async function decodeSeen(input: Blob | ReadableStream<Uint8Array>, wanted: Wanted): Promise<void> {
  const { models, ...options } = wanted;
  await whenSeen(wanted.signal);
  pool ??= new Pool({ idle: IDLE, ...wished });
  await pool.decode(input, { ...options, model: (id) => modelOf(id, models) });
}

/** Waits until the page is shown: nobody looks at what a hidden one decodes. */
async function whenSeen(signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  while (document.visibilityState === "hidden") {
    await new Promise((resolve) => {
      document.addEventListener("visibilitychange", resolve, { once: true });
      signal?.addEventListener("abort", resolve, { once: true });
    });
    signal?.throwIfAborted();
  }
}
