// A file to a picture, tile by tile.
import { alphaBits, type Header, tileBox } from "../container/header.js";
import { type Chunk, HEAD_BYTES, Reader, readHead } from "../container/reader.js";
import { bytesOf, type Input, openSource } from "../container/source.js";
import { CorruptFile, InvalidArgument, TruncatedFile, UnsupportedInput } from "../errors.js";
import { Kernels } from "../network/kernels.js";
import { type Box, grown, heightOf, widthOf, within } from "./boxes.js";
import type { ImageModel, Runtime } from "./model.js";
import { findModel, type Models } from "./models.js";
import { checkOptions } from "./options.js";
import { colorSpaceOf, type Metadata, type Picture, pictureOf } from "./picture.js";
import { needsModel, RegionDecoder, type Shown } from "./region.js";
import { loadRest, restOf } from "./rest.js";
import type { Numbers, Samples } from "./samples.js";
import { blankPlane, levelsOf, ofPicture, toRgba } from "./values.js";

const METADATA_MAX = 2 ** 24;
const PIXELS_MAX = 2 ** 30;
const SCALES = [1, 2, 4, 8];
/** Milliseconds after which others get their turn between tiles. */
const TURN = 12;

/** A part of a picture that has been decoded: where it stands in what `decode` gives, and its pixels for a canvas. */
export interface Tile {
  x: number;
  y: number;
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
  /** The colour space of a canvas that is nearest to the picture's. */
  colorSpace: PredefinedColorSpace;
}

export interface DecodeOptions {
  /** Ends the work with the reason of the signal. */
  signal?: AbortSignal;
  /** The part to decode: x, y, width, height, in stored pixels. */
  region?: readonly [number, number, number, number];
  /** 2, 4 or 8: the picture has one over it of its size, each pixel the mean of a block. */
  scale?: number;
  /** Called with each tile as soon as it is there; streams are decoded while they arrive. */
  onTile?: (tile: Tile, header: Header) => void;
  /** Called with the header before all tiles. */
  onHeader?: (header: Header) => void;
  /**
   * The model, some to choose from, or who gets one; not needed where the file holds it or no tile needs one. One in the
   * file is before those to choose from; bytes given as the one model are before it.
   */
  model?: Models;
  /** What runs the model's graphs of real numbers in place of the kernels. */
  runtime?: Runtime;
  /** Pixels of the largest picture that is decoded. */
  maxPixels?: number;
  /** Whether pixels stay as they are stored instead of being turned as they are shown. */
  stored?: boolean;
  /** Called with the checksum of the symbols behind each phase of each tile: for tests. */
  onPhase?: (tile: number, checksum: number) => void;
}

/** The compiled kernels, which come last in the built file: there they compress better. */
let packed = "";
let kernels: Promise<Kernels> | null = null;
let users = 0;
let ending: ReturnType<typeof setTimeout> | null = null;
/** Milliseconds for which the kernels and their memory are kept after the last picture. */
const KEPT = 10000;

export function provideKernels(text: string): void {
  packed = text;
}

/** The header of a file that begins with these bytes, of which 78 are enough. Throws CorruptFile, VersionError. */
export function info(data: ArrayBuffer | ArrayBufferView): Header {
  return readHead(bytesOf(data).subarray(0, HEAD_BYTES));
}

/** The picture of a file. Its errors are AezError, or the signal's reason. */
export async function decode(input: Input, options: DecodeOptions = {}): Promise<Picture> {
  checkOptions(options);
  return await withKernels(async (starting) => {
    const source = await openSource(input);
    try {
      const reader = await Reader.open(source);
      return await new Decoding(await starting, reader.header, options, source.size).run(reader);
    } finally {
      await source.close();
    }
  });
}

/** What `work` gives with kernels that others use, too. */
export async function withKernels<T>(work: (kernels: Promise<Kernels>) => Promise<T>): Promise<T> {
  if (ending !== null) clearTimeout(ending);
  ending = null;
  users++;
  try {
    kernels ??= Kernels.start(packed);
    return await work(kernels);
  } catch (error) {
    if (error instanceof RangeError)
      throw new UnsupportedInput("the picture needs more memory than there is", { cause: error });
    throw error;
  } finally {
    if (--users === 0) {
      ending = setTimeout(() => {
        kernels = null;
      }, KEPT);
      (ending as { unref?: () => void }).unref?.();
    }
  }
}

/** One file on its way. */
class Decoding {
  private readonly box: Box;
  private readonly orientation: number;
  private readonly extras = new Map<string, Uint8Array>();
  private readonly contents = new Map<number, Uint8Array>();
  /** The tiles that are shown, in order, and how many of them are done. */
  private readonly shown: number[];
  private doneTiles = 0;
  private decoder: RegionDecoder | null = null;
  private model: ImageModel | null = null;
  private alpha: Samples<Uint8Array | Uint16Array> | null = null;
  private out: Samples<Uint8Array | Uint16Array> | null = null;
  private turn = performance.now();
  private readonly scale: number;

  constructor(
    private readonly kernels: Kernels,
    private readonly header: Header,
    private readonly options: DecodeOptions,
    private readonly size: number | null,
  ) {
    const scale = options.scale ?? 1;
    this.scale = scale;
    checkPlausible(header, size, options.maxPixels ?? PIXELS_MAX);
    if (!SCALES.includes(scale)) throw new InvalidArgument(`a scale of ${scale} is none of ${SCALES.join(", ")}`);
    this.box = regionBox(header, options.region);
    if (this.box.left % scale || this.box.top % scale)
      throw new InvalidArgument(`the region begins at no multiple of ${scale}`);
    this.orientation = options.stored ? 1 : header.orientation;
    this.shown = new RegionDecoder(kernels, header, null, this.contents, scale).touched(this.box);
    options.onHeader?.(header);
  }

  async run(reader: Reader): Promise<Picture> {
    // A whole file is checked before its first tile is decoded; of a stream tiles are decoded as they come.
    const streams = this.options.onTile !== undefined && this.size === null;
    for await (const chunk of reader.chunks()) {
      this.options.signal?.throwIfAborted();
      await this.keep(chunk);
      if (streams && chunk.type === "T") await this.advance(chunk.tile);
    }
    await this.advance(this.header.tiles);
    if (!this.out) throw new CorruptFile("no tile of the picture is whole where it should be decoded", "tile");
    const alpha = this.alpha && (await this.turned(this.alpha));
    return await pictureOf(this.header, await this.turned(this.out), alpha, this.metadata());
  }

  /** As the picture is shown. */
  private async turned<Data extends Numbers>(samples: Samples<Data>): Promise<Samples<Data>> {
    const { orientation } = this;
    return orientation === 1 ? samples : (await loadRest()).turned(samples, orientation);
  }

  private async keep(chunk: Chunk): Promise<void> {
    if (chunk.type === "T") this.contents.set(chunk.tile, chunk.content);
    else if (chunk.type === "x" || chunk.type === "i" || chunk.type === "m") {
      const content = (await restOf(this.kernels)).inflateAll(chunk.content, METADATA_MAX);
      if (!content) throw new CorruptFile(`the chunk ${chunk.type} does not decompress`, chunk.type);
      this.extras.set(chunk.type, content);
    } else this.extras.set(chunk.type, chunk.content);
  }

  /** Decodes what can be, now that the tiles up to this one are there. */
  private async advance(last: number): Promise<void> {
    while (this.doneTiles < this.shown.length) {
      const number = this.shown[this.doneTiles] as number;
      if (number > last) return;
      const shown = grown(tileBox(this.header, number), 0, this.box);
      this.decoder ??= await this.open();
      const touched = this.model ? this.decoder.touched(this.decoder.seen(shown, this.model)) : [];
      if (Math.max(...touched, number) > last && last < this.header.tiles) return;
      await this.pause();
      const { columns } = this.header;
      this.decoder.forget(Math.floor((touched[0] ?? number) / columns) * columns);
      await this.show(await this.decoder.tile(number, shown), shown);
      this.doneTiles++;
    }
  }

  private async open(): Promise<RegionDecoder> {
    const { header } = this;
    const needed = this.doneTiles === 0 && [...this.contents.values()].some(needsModel);
    // Of a stream it is not known what tiles will come: the header's zeros say that none needs a model.
    if (needed || (this.contents.size < header.tiles && /[1-9a-f]/.test(header.model))) {
      this.model = await findModel(this.kernels, header.model, this.extras.get("M"), this.options);
    }
    return new RegionDecoder(this.kernels, header, this.model, this.contents, this.scale, this.options.onPhase);
  }

  private async show(part: Shown, shown: Box): Promise<void> {
    const { header, box, scale, orientation } = this;
    const colours = ofPicture(part.colours, header);
    const [width, height] = [Math.ceil(widthOf(box) / scale), Math.ceil(heightOf(box) / scale)];
    const place = within(shown, box, scale);
    this.out ??= blankPlane(width, height, colours.channels, header.bits);
    put(this.out, colours, place);
    if (part.alpha) {
      this.alpha ??= blankPlane(width, height, 1, alphaBits(header));
      put(this.alpha, part.alpha, place);
    }
    if (!this.options.onTile) return;
    const opacity = part.alpha && (await this.turned(part.alpha));
    const { left, top, right, bottom } =
      orientation === 1 ? place : (await loadRest()).turnedBox(place, width, height, orientation);
    const rgba = toRgba(await this.turned(colours), levelsOf(header.bits), opacity);
    const colorSpace = colorSpaceOf(header, this.extras.get("i") ?? null);
    this.options.onTile({ x: left, y: top, width: right - left, height: bottom - top, rgba, colorSpace }, header);
  }

  private metadata(): Metadata {
    const colorimetry = this.extras.get("c");
    return {
      exif: this.extras.get("x") ?? null,
      icc: this.extras.get("i") ?? null,
      xmp: this.extras.get("m") ?? null,
      colorimetry: colorimetry?.length === 36 ? new Uint32Array(colorimetry.slice().buffer) : null,
    };
  }

  /** Between tiles: others get their turn, and the signal is looked at. */
  private async pause(): Promise<void> {
    if (performance.now() - this.turn > TURN) {
      await new Promise((resolve) => setTimeout(resolve));
      this.turn = performance.now();
    }
    this.options.signal?.throwIfAborted();
  }
}

/** Copies a part of a picture to its place. */
function put(to: Samples, part: Samples, place: Box): void {
  const inRow = part.width * part.channels;
  for (let row = 0; row < part.height; row++) {
    const at = ((place.top + row) * to.width + place.left) * part.channels;
    to.data.set(part.data.subarray(row * inRow, (row + 1) * inRow), at);
  }
}

function checkPlausible(header: Header, size: number | null, maxPixels: number): void {
  const { width, height, tiles } = header;
  if (!(width * height <= maxPixels)) {
    throw new UnsupportedInput(`a picture of ${width}x${height} pixels is above the limit of ${maxPixels} pixels`);
  }
  if (size !== null && tiles > size) {
    throw new TruncatedFile(`the header says ${tiles} tiles, which a file of ${size} bytes cannot hold`, "header");
  }
}

function regionBox(header: Header, region: DecodeOptions["region"]): Box {
  if (!region) return { left: 0, top: 0, right: header.width, bottom: header.height };
  const numbers = Array.from(region);
  const [x, y, width, height] = numbers as [number, number, number, number];
  const whole = numbers.length === 4 && numbers.every(Number.isInteger);
  if (!whole || x < 0 || y < 0 || width < 1 || height < 1 || x + width > header.width || y + height > header.height) {
    throw new InvalidArgument(`region ${region} is not inside the ${header.width}x${header.height} picture`);
  }
  return { left: x, top: y, right: x + width, bottom: y + height };
}
