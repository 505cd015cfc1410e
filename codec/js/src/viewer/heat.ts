// The heat map: the bytes of each tile over its picture.
import type { ChunkInfo, Header } from "../index.js";
import { type Rect, tileRect } from "./geometry.js";
import type { Screen } from "./layers.js";

/** Side of a tile on the screen from which its bytes stand in it, in pixels of CSS. */
const WITH_WORDS = 56;

/** Bytes by tile, and the least and the most bytes for a pixel of one. */
export interface Heat {
  bytes: ReadonlyMap<number, number>;
  rates: ReadonlyMap<number, number>;
  least: number;
  most: number;
}

export function heatOf(header: Header, chunks: readonly ChunkInfo[]): Heat {
  const bytes = new Map(chunks.filter(({ tile }) => tile >= 0).map((chunk) => [chunk.tile, chunk.bytes]));
  const rates = new Map<number, number>();
  for (const [tile, count] of bytes) {
    const { left, top, right, bottom } = tileRect(header, tile);
    rates.set(tile, count / ((right - left) * (bottom - top)));
  }
  const [least, most] = [...rates.values()].reduce(
    ([low, high], rate) => [Math.min(low, rate), Math.max(high, rate)],
    [Infinity, 0],
  );
  return { bytes, rates, least: least as number, most: most as number };
}

export function heat(
  context: CanvasRenderingContext2D,
  placed: readonly { number: number; place: Rect }[],
  { bytes, rates, least, most }: Heat,
  { density }: Screen,
): void {
  context.font = `${12 * density}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const { number, place } of placed) {
    const [width, height] = [place.right - place.left, place.bottom - place.top];
    const share = most > least ? ((rates.get(number) ?? least) - least) / (most - least) : 0.5;
    context.fillStyle = `color-mix(in oklab, rgb(255 196 0) ${Math.round(100 * share)}%, rgb(20 40 150))`;
    context.globalAlpha = 0.55;
    context.fillRect(place.left, place.top, width - 1, height - 1);
    context.globalAlpha = 1;
    if (Math.min(width, height) < WITH_WORDS * density) continue;
    const words = (bytes.get(number) ?? 0).toLocaleString("en");
    context.lineWidth = 3 * density;
    context.strokeStyle = "#000a";
    context.strokeText(words, place.left + width / 2, place.top + height / 2);
    context.fillStyle = "#fff";
    context.fillText(words, place.left + width / 2, place.top + height / 2);
  }
}
