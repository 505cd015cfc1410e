// The worker that encodes for the page: one picture, of which the last order counts.
import { encode, type Pixels } from "../encode/index.js";
import { AezError, UnsupportedInput } from "../index.js";
import type { FromCoder, ToCoder } from "./coder.js";

const scope = globalThis as unknown as { postMessage(message: FromCoder, transfer?: Transferable[]): void };
const models = new Map<string, ArrayBuffer>();
let pixels: Pixels | null = null;
let ending = new AbortController();

addEventListener("message", ({ data }: MessageEvent<ToCoder>) => {
  if (data.type === "model") {
    models.set(data.id, data.bytes);
    return;
  }
  ending.abort();
  ending = new AbortController();
  if (data.type === "encode") void work(data, ending.signal);
});

async function work({ run, bitmap, model, quality }: ToCoder & { type: "encode" }, signal: AbortSignal): Promise<void> {
  const start = performance.now();
  try {
    if (bitmap) pixels = pixelsOf(bitmap);
    if (!pixels) throw new UnsupportedInput("the browser has too little memory for this picture");
    const bytes = await encode(pixels, {
      model: models.get(model) as ArrayBuffer,
      quality,
      signal,
      onProgress: (done, tiles) => scope.postMessage({ type: "progress", run, done, tiles }),
    });
    const seconds = (performance.now() - start) / 1000;
    scope.postMessage({ type: "done", run, bytes, seconds }, [bytes.buffer]);
  } catch (error) {
    if (signal.aborted) return;
    const code = error instanceof AezError ? error.code : null;
    scope.postMessage({ type: "failed", run, message: (error as Error).message, code });
  }
}

/** Null where there is no memory for them. */
function pixelsOf(bitmap: ImageBitmap): Pixels | null {
  const { width, height } = bitmap;
  try {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context?.drawImage(bitmap, 0, 0);
    return (context?.getImageData(0, 0, width, height) as (ImageData & Pixels) | undefined) ?? null;
  } catch {
    return null;
  } finally {
    bitmap.close();
  }
}
