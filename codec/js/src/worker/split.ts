// A picture in bands of whole tiles, each for another worker, and the bands put together.
import type { Header } from "../index.js";
import type { SentSamples } from "./messages.js";

export type Region = readonly [x: number, y: number, width: number, height: number];

/** Pixels below which a picture is not worth a second worker. */
const LEAST_PIXELS = 2 ** 20;

/**
 * At most `count` parts of a region, each of rows or columns of whole tiles that lie beside each other: a tile looks at
 * its neighbours' latents, so that fewer borders are less work.
 */
export function bands(header: Header, region: Region, count: number): Region[] {
  const [x, y, width, height] = region;
  if (width * height < LEAST_PIXELS) return [region];
  const down = cuts(y, height, header.tile, count);
  const across = cuts(x, width, header.tile, count);
  if (down.length >= across.length) return down.map(([first, length]) => [x, first, width, length]);
  return across.map(([first, length]) => [first, y, length, height]);
}

function cuts(start: number, length: number, tile: number, count: number): [number, number][] {
  const first = Math.floor(start / tile);
  const tiles = Math.ceil((start + length) / tile) - first;
  const parts = Math.min(count, tiles);
  const edges = Array.from({ length: parts + 1 }, (_, part) => (first + Math.round((part * tiles) / parts)) * tile);
  edges[0] = start;
  edges[parts] = start + length;
  return edges.slice(1).map((end, part) => [edges[part] as number, end - (edges[part] as number)]);
}

/** Where a band stands in the decoded picture: its corner there, scaled and turned. */
export function placeOf(
  header: Header,
  region: Region,
  band: Region,
  scale: number,
  stored: boolean,
): [number, number] {
  const across = (start: number) => Math.ceil(start / scale);
  const size = { width: across(region[2]), height: across(region[3]) };
  const left = across(band[0] - region[0]);
  const top = across(band[1] - region[1]);
  const right = size.width - left - across(band[2]);
  const bottom = size.height - top - across(band[3]);
  const orientation = stored ? 1 : header.orientation;
  const [x, y] = [[2, 3, 6, 7].includes(orientation), [3, 4, 7, 8].includes(orientation)];
  const swapped = orientation > 4;
  const [before, behind] = swapped ? [top, bottom] : [left, right];
  const [above, below] = swapped ? [left, right] : [top, bottom];
  return [x ? behind : before, y ? below : above];
}

/** A picture of samples that come in parts. */
export class Joined {
  private whole: SentSamples | null = null;

  constructor(
    private readonly width: number,
    private readonly height: number,
  ) {}

  put(part: SentSamples, [x, y]: [number, number]): void {
    const { channels, data } = part;
    if (part.width === this.width && part.height === this.height) {
      this.whole = part;
      return;
    }
    const count = this.width * this.height * channels;
    this.whole ??= {
      width: this.width,
      height: this.height,
      channels,
      data: data instanceof Uint8Array ? new Uint8Array(count) : new Uint16Array(count),
    };
    const inRow = part.width * channels;
    for (let row = 0; row < part.height; row++) {
      this.whole.data.set(data.subarray(row * inRow, (row + 1) * inRow), ((y + row) * this.width + x) * channels);
    }
  }

  get samples(): SentSamples | null {
    return this.whole;
  }
}
