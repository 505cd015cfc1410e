// What a tile of graphics is coded as: the cheapest in bytes and error at its quality, as far as that is known here.
import type { Box } from "../image/boxes.js";
import { lookAt } from "./blocks.js";
import { encodeDrawing, fewColours, pixelsOf } from "./drawing.js";
import { LEVEL_MAX } from "./targets.js";
import type { Colours } from "./tile.js";

/** Shares of a tile's blocks: graphics from the first one on, of which exact samples may be up to the second one of photograph. */
const [DRAWN_SHARE, PHOTO_SHARE] = [0.03, 0.2];
/** Bits per pixel that a unit of squared error is worth at quality 1 and 100, as in the training of models. */
const [WEIGHT_MIN, WEIGHT_MAX] = [0.0004, 0.23];
/** Errors in graphics weigh more; from this level up there are none. */
const [FLAT_FACTOR, FINE_LEVEL] = [4, 2028];
/** The coarsest step: flat colours must not shift. */
const STEP_MAX = 5;
/** What the model's errors are worth in graphics, as a share of its bits; and bits and worth for each block at least. */
const [ERROR_SHARE, DRAWN_COST] = [1, 2];

/** Ways to code the tiles of a picture without the model, each found once. */
export class Graphics {
  private readonly tiles = new Map<number, Tile>();
  /** Margins that nothing is drawn in are kept as the rest of a page is. */
  private page: boolean | null = null;

  constructor(private readonly picture: Colours) {}

  /** Content of the tile with this number, where that is cheaper than its learned content; else null. */
  content(number: number, box: Box, level: number, learned: Uint8Array): Uint8Array | null {
    const { width, height } = this.picture;
    this.page ??= lookAt(this.picture, { left: 0, top: 0, right: width, bottom: height }).drawn > DRAWN_SHARE;
    const tile = this.tiles.get(number) ?? new Tile(this.picture, box, this.page);
    this.tiles.set(number, tile);
    return tile.content(level, learned.length);
  }
}

class Tile {
  private readonly pixels: Uint32Array;
  private readonly few: boolean;
  private readonly graphics: boolean;
  private readonly drawn: number;
  private readonly made = new Map<number, ReturnType<typeof encodeDrawing>>();

  constructor(
    picture: Colours,
    private readonly box: Box,
    page: boolean,
  ) {
    this.pixels = pixelsOf(picture, box);
    this.few = fewColours(this.pixels) !== null;
    const { photo, drawn } = lookAt(picture, box);
    this.drawn = drawn;
    this.graphics = photo < PHOTO_SHARE && (page || drawn > DRAWN_SHARE);
  }

  content(level: number, learned: number): Uint8Array | null {
    const exact = this.few || this.graphics ? this.exact(1).content : null;
    if (exact && exact.length <= learned && this.few) return exact;
    if (!exact || !this.graphics) return null;
    const bits = (length: number) => (8 * length) / this.pixels.length;
    const weight = WEIGHT_MIN * (WEIGHT_MAX / WEIGHT_MIN) ** (level / LEVEL_MAX);
    const step = Math.max(2, Math.min(Math.round(Math.sqrt(26 / weight)), STEP_MAX));
    const tried = level < FINE_LEVEL && !this.few ? [this.exact(1), this.exact(step)] : [this.exact(1)];
    const costs = tried.map(({ content, error }) => bits(content.length) + weight * FLAT_FACTOR * error);
    const least = Math.min(...costs);
    if (least > Math.max((1 + ERROR_SHARE) * bits(learned), DRAWN_COST * this.drawn)) return null;
    return tried[costs.indexOf(least)]?.content ?? null;
  }

  private exact(step: number): ReturnType<typeof encodeDrawing> {
    const found = this.made.get(step) ?? encodeDrawing(this.pixels, this.box, step);
    this.made.set(step, found);
    return found;
  }
}
