// Pixels to a file, tile by tile.

import type { Box } from "../image/boxes.js";
import type { ImageModel } from "../image/model.js";
import { InvalidArgument, internals, type Model, ModelError, UnsupportedInput } from "../index.js";
import type { Kernels } from "../network/kernels.js";
import { encodeAlpha, isTransparent } from "./alpha.js";
import { Graphics } from "./choice.js";
import { FileWriter } from "./file.js";
import { withoutHidden } from "./hidden.js";
import { LEVEL_MAX, withinBytes } from "./targets.js";
import { type Colours, TileEncoder } from "./tile.js";

/** Red, green, blue and straight alpha of 8 bits each, as a canvas gives them. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray | Uint8Array;
}

export interface EncodeOptions {
  /** The half of a model that encodes, or a whole one: its bytes, or a package of `aez-model`. */
  model: Model;
  /** 1..100; 50 where neither is given. */
  quality?: number;
  /** Bits per pixel of the whole file, not exceeded, in place of a quality. */
  bpp?: number;
  /**
   * `auto` keeps tiles of at most 256 colours as they are, without loss, where that takes no more bytes than the model
   * does, and graphics of more without loss or to two levels, where that is cheaper; `photo` leaves all to the model.
   */
  content?: "auto" | "photo";
  /** Side of a tile in pixels, a multiple of the model's alignment of 64..2048; 1024. */
  tile?: number;
  /** Ends the work with the reason of the signal. */
  signal?: AbortSignal;
  /** Called after each tile with how many are done, and of how many; from the start again for each quality tried. */
  onProgress?: (done: number, tiles: number) => void;
}

const QUALITY = 50;
const [QUALITY_MIN, QUALITY_MAX] = [1, 100];
const [TILE, TILE_MIN, TILE_MAX] = [1024, 64, 2048];
const CONTENTS: readonly unknown[] = [undefined, "auto", "photo"];
const PIXELS_MAX = 2 ** 30;
const BPP_MAX = 1e6;
/** Milliseconds after which others get their turn between tiles. */
const TURN = 12;
const OPEN_MAX = 2;
const open = new WeakMap<Kernels, { given: Model; encoder: TileEncoder }[]>();

/** The file of a picture. Its errors are AezError, or the signal's reason. */
export async function encode(pixels: Pixels, options: EncodeOptions): Promise<Uint8Array<ArrayBuffer>> {
  if (!options || !pixels) throw new InvalidArgument("encode takes pixels and options, a model among them");
  internals.checkOptions(options);
  checkPixels(pixels);
  const level = levelOf(options);
  const { bpp } = options;
  if (bpp !== undefined && !(Number.isFinite(bpp) && bpp > 0)) {
    throw new InvalidArgument(`bpp ${bpp} is not a positive number`);
  }
  return await internals.withKernels(async (starting) => {
    const encoder = await openEncoder(await starting, options.model);
    const job = new Encoding(encoder, pixels, options);
    if (bpp === undefined) return await job.run(level);
    const count = pixels.width * pixels.height;
    return await withinBytes(Math.floor((Math.min(bpp, BPP_MAX) * count) / 8), count, (one) => job.run(one));
  });
}

/** One picture, at one or several levels. */
class Encoding {
  private readonly tile: number;
  private readonly transparent: boolean;
  private readonly colours: Colours;
  /** That of each tile, which is the same at every level. */
  private readonly alphas = new Map<number, Uint8Array>();
  private readonly graphics: Graphics | null;
  private turn = performance.now();

  constructor(
    private readonly encoder: TileEncoder,
    private readonly pixels: Pixels,
    private readonly options: EncodeOptions,
  ) {
    this.tile = options.tile ?? TILE;
    this.graphics = options.content === "photo" ? null : new Graphics(pixels);
    this.transparent = isTransparent(pixels);
    this.colours = this.transparent ? withoutHidden(pixels) : pixels;
    if (!CONTENTS.includes(options.content))
      throw new InvalidArgument(`content ${options.content} is none of auto, photo`);
    const unit = encoder.model.geometry.alignment;
    if (!Number.isInteger(this.tile) || this.tile < TILE_MIN || this.tile > TILE_MAX || this.tile % unit) {
      throw new InvalidArgument(`tile size ${this.tile} is not a multiple of ${unit} in ${TILE_MIN}..${TILE_MAX}`);
    }
  }

  async run(level: number): Promise<Uint8Array<ArrayBuffer>> {
    const { tile, pixels, encoder } = this;
    const { width, height } = pixels;
    const writer = new FileWriter(width, height, this.transparent, level, encoder.model.id, tile);
    const tiles = Math.ceil(width / tile) * Math.ceil(height / tile);
    let done = 0;
    for (let top = 0; top < height; top += tile) {
      for (let left = 0; left < width; left += tile) {
        await this.pause();
        const box = { left, top, right: Math.min(left + tile, width), bottom: Math.min(top + tile, height) };
        const learned = encoder.encode(this.colours, box, level);
        const content = this.graphics?.content(done, box, level, learned) ?? learned;
        writer.tile(content, this.transparent ? this.alpha(done, box) : null);
        done++;
        this.options.onProgress?.(done, tiles);
      }
    }
    return writer.finish();
  }

  private alpha(number: number, box: Box): Uint8Array {
    const found = this.alphas.get(number) ?? encodeAlpha(this.pixels, box);
    this.alphas.set(number, found);
    return found;
  }

  private async pause(): Promise<void> {
    if (performance.now() - this.turn > TURN) {
      await new Promise((resolve) => setTimeout(resolve));
      this.turn = performance.now();
    }
    this.options.signal?.throwIfAborted();
  }
}

function checkPixels({ width, height, data }: Pixels): void {
  if (!Number.isInteger(width) || !Number.isInteger(height) || width < 1 || height < 1) {
    throw new InvalidArgument(`a picture of ${width}x${height} pixels cannot be`);
  }
  if (width * height > PIXELS_MAX) {
    throw new UnsupportedInput(`a picture of ${width}x${height} pixels is above the limit of ${PIXELS_MAX} pixels`);
  }
  if (!(data instanceof Uint8ClampedArray || data instanceof Uint8Array)) {
    throw new UnsupportedInput("pixels are encoded as red, green, blue and alpha of 8 bits alone");
  }
  if (data.length !== 4 * width * height) {
    throw new InvalidArgument(`${data.length} bytes are not four for each of ${width}x${height} pixels`);
  }
}

function levelOf({ quality, bpp }: EncodeOptions): number {
  if (quality !== undefined && bpp !== undefined) throw new InvalidArgument("give only one of quality, bpp");
  const found = quality ?? QUALITY;
  if (!(found >= QUALITY_MIN && found <= QUALITY_MAX)) throw new InvalidArgument(`quality ${found} is outside 1..100`);
  const level = ((found - QUALITY_MIN) / (QUALITY_MAX - QUALITY_MIN)) * LEVEL_MAX;
  const down = Math.floor(level);
  // Of halves the even level, as aez in Python rounds.
  return level - down > 0.5 || (level - down === 0.5 && down % 2) ? down + 1 : down;
}

/** The encoder of a model, of which few are kept open. Throws ModelError. */
async function openEncoder(kernels: Kernels, given: Model): Promise<TileEncoder> {
  if (typeof given !== "object" || given === null) throw new ModelError("encoding needs the half of a model for it");
  const warm = open.get(kernels) ?? [];
  const found = warm.find((one) => one.given === given)?.encoder ?? new TileEncoder(await opened(kernels, given));
  open.set(kernels, [{ given, encoder: found }, ...warm.filter((one) => one.given !== given)].slice(0, OPEN_MAX));
  return found;
}

async function opened(kernels: Kernels, given: Model): Promise<ImageModel> {
  const bytes = internals.isPacked(given) ? await internals.unpackModel(given) : internals.bytesOf(given);
  const bundle = new internals.Bundle(kernels, bytes, undefined, true);
  if (!bundle.has(`${"latent" in bundle.coding ? "latent_" : ""}analysis.onnx`)) {
    throw new ModelError(`this is the decoding half of model ${bundle.name}: encoding needs its encoding half`);
  }
  return new internals.ImageModel(kernels, bundle);
}
