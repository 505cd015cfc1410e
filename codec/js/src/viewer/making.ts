// Whole pictures: as a canvas, as a PNG, and in another format at as many bytes.
import { type Header, UnsupportedInput } from "../index.js";
import { decodeSeen, type ModelSource } from "../page/index.js";
import { type Size, shownSize } from "./geometry.js";

/** Pixels and side of the largest canvas that browsers have. */
const PIXELS_MAX = 2 ** 27;
const SIDE_MAX = 16384;
const TRIES = 9;

/** Throws UnsupportedInput where no canvas is so large. */
export function checkSize({ width, height }: Size): void {
  if (width * height > PIXELS_MAX || Math.max(width, height) > SIDE_MAX) {
    throw new UnsupportedInput(`${width}x${height} pixels are more than a browser makes one picture of`);
  }
}

/** All of a file, as it is shown. Throws UnsupportedInput where no canvas is so large. */
export async function wholeCanvas(
  file: Blob,
  header: Header,
  models: readonly ModelSource[],
  signal: AbortSignal,
): Promise<HTMLCanvasElement> {
  const { width, height } = shownSize(header);
  checkSize({ width, height });
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  await decodeSeen(file, {
    models,
    signal,
    onTile: ({ x, y, width, height, rgba, colorSpace }) => {
      const image = new ImageData(rgba, width, height, { colorSpace });
      canvas.getContext("2d", { colorSpace })?.putImageData(image, x, y);
    },
  });
  return canvas;
}

/** Throws UnsupportedInput where the browser writes no such format, or has no memory for it. */
export async function blobOf(canvas: HTMLCanvasElement, type: string, quality?: number): Promise<Blob> {
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, type, quality));
  if (!blob) throw new UnsupportedInput("the browser has too little memory for this picture");
  if (blob.type !== type) throw new UnsupportedInput(`this browser cannot write ${nameOf(type)}`);
  return blob;
}

/** The picture in another format at the highest quality that takes no more bytes, or at the least there is. */
export async function atBytes(
  canvas: HTMLCanvasElement,
  type: string,
  bytes: number,
): Promise<{ blob: Blob; quality: number }> {
  let best = { blob: await blobOf(canvas, type, 0), quality: 0 };
  let [low, high] = [0, 1];
  for (let i = 0; i < TRIES && best.blob.size <= bytes; i++) {
    const quality = (low + high) / 2;
    const blob = await blobOf(canvas, type, quality);
    if (blob.size <= bytes) {
      best = { blob, quality };
      low = quality;
    } else high = quality;
  }
  return best;
}

export function nameOf(type: string): string {
  return type.replace("image/", "").toUpperCase().replace("WEBP", "WebP");
}

/** Hands a file to the person. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
