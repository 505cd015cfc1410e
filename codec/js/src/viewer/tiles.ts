// The tiles of one file that are seen: decoded at the scale that the screen needs, kept as long as there is room.
import type { Header, Tile } from "../index.js";
import { decodeSeen, type ModelSource } from "../page/index.js";
import { type Rect, tileRect } from "./geometry.js";

const SCALES = [8, 4, 2, 1];
/** Pixels of all tiles that are kept, at most. */
const PIXELS_MAX = 2 ** 26;

interface Kept {
  bitmap: ImageBitmap;
  used: number;
}

interface Request {
  scale: number;
  tiles: Set<number>;
  ending: AbortController;
}

/** The coarsest scale of which no pixel is larger than one of the screen. */
export function scaleFor(zoom: number): number {
  return SCALES.find((scale) => scale * zoom <= 1) ?? 1;
}

export class Tiles {
  private readonly kept = new Map<string, Kept>();
  private pixels = 0;
  private clock = 0;
  private request: Request | null = null;
  private wanted: { scale: number; tiles: number[] } = { scale: 1, tiles: [] };
  failed = false;

  constructor(
    private readonly file: Blob,
    private readonly header: Header,
    private readonly models: readonly ModelSource[],
    /** Called when there is something new to draw. */
    private readonly onTile: () => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** The best that is there of a tile. */
  best(number: number, scale: number): ImageBitmap | null {
    const finer = [...SCALES].reverse().filter((other) => other < scale);
    const coarser = [...SCALES].reverse().filter((other) => other > scale);
    for (const other of [scale, ...finer.reverse(), ...coarser]) {
      const found = this.kept.get(`${other}:${number}`);
      if (!found) continue;
      found.used = ++this.clock;
      return found.bitmap;
    }
    return null;
  }

  /** Tells what is seen now; what is not any more is given up. */
  want(tiles: number[], scale: number): void {
    this.wanted = { scale, tiles };
    const request = this.request;
    if (request?.scale === scale && this.missing().some((number) => request.tiles.has(number))) return;
    request?.ending.abort();
    this.request = null;
    this.next();
  }

  /** How many of the tiles that are seen are not there yet. */
  get left(): number {
    return this.failed ? 0 : this.missing().length;
  }

  close(): void {
    this.request?.ending.abort();
    this.failed = true;
    for (const { bitmap } of this.kept.values()) bitmap.close();
    this.kept.clear();
  }

  private missing(): number[] {
    return this.wanted.tiles.filter((number) => !this.kept.has(`${this.wanted.scale}:${number}`));
  }

  private next(): void {
    const missing = this.missing();
    if (!missing.length || this.failed) return;
    const { scale } = this.wanted;
    const tiles = rectangle(missing, this.header.columns);
    const request = { scale, tiles: new Set(tiles), ending: new AbortController() };
    this.request = request;
    this.decode(request).then(
      () => {
        if (this.request !== request) return;
        this.request = null;
        this.next();
      },
      (error: unknown) => {
        if (request.ending.signal.aborted) return;
        this.request = null;
        this.failed = true;
        this.onError(error);
      },
    );
  }

  private async decode({ scale, tiles, ending }: Request): Promise<void> {
    const numbers = [...tiles].sort((a, b) => a - b);
    const first = tileRect(this.header, numbers[0] as number);
    const last = tileRect(this.header, numbers[numbers.length - 1] as number);
    const region = [first.left, first.top, last.right - first.left, last.bottom - first.top] as const;
    const pending: Promise<void>[] = [];
    await decodeSeen(this.file, {
      region,
      scale,
      stored: true,
      signal: ending.signal,
      models: this.models,
      onTile: (tile) => pending.push(this.keep(this.numberAt(first, tile, scale), scale, tile)),
    });
    await Promise.all(pending);
  }

  private numberAt({ left, top }: Rect, { x, y }: Tile, scale: number): number {
    const { tile, columns } = this.header;
    return Math.floor((top + y * scale) / tile) * columns + Math.floor((left + x * scale) / tile);
  }

  private async keep(number: number, scale: number, { width, height, rgba, colorSpace }: Tile): Promise<void> {
    const bitmap = await createImageBitmap(new ImageData(rgba, width, height, { colorSpace }));
    const key = `${scale}:${number}`;
    if (this.failed || this.kept.has(key)) {
      bitmap.close();
      return;
    }
    this.kept.set(key, { bitmap, used: ++this.clock });
    this.pixels += width * height;
    this.forget();
    this.onTile();
  }

  /** Gives up those that were not drawn for longest. */
  private forget(): void {
    if (this.pixels <= PIXELS_MAX) return;
    for (const [key, { bitmap }] of [...this.kept].sort(([, a], [, b]) => a.used - b.used)) {
      if (this.pixels <= PIXELS_MAX / 2) return;
      this.pixels -= bitmap.width * bitmap.height;
      bitmap.close();
      this.kept.delete(key);
    }
  }
}

/** Of some tiles those that make a rectangle with the first one. */
function rectangle(numbers: readonly number[], columns: number): number[] {
  const all = new Set(numbers);
  const first = numbers[0] as number;
  const inRow = columns - (first % columns);
  let across = 1;
  while (across < inRow && all.has(first + across)) across++;
  const row = (start: number) => Array.from({ length: across }, (_, i) => start + i);
  const found = row(first);
  for (let start = first + columns; row(start).every((number) => all.has(number)); start += columns) {
    found.push(...row(start));
  }
  return found;
}
