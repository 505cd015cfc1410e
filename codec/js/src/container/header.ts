// The header of a picture: what a reader must know before the first tile.
import { VersionError } from "../errors.js";
import { FieldError, Fields, reading } from "./fields.js";

export type Mode = "L" | "LA" | "RGB" | "RGBA";
/** A rectangle of stored pixels, ends exclusive. */
export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export const HEADER_MAX = 64;
const MODES: readonly Mode[] = ["L", "LA", "RGB", "RGBA"];
const SIZE_MAX = 2 ** 31 - 1;
const RESOLUTION_MAX = 2 ** 32 - 1;
const TILE_UNIT = 16;
const TILE_MAX = 2048;
const LEVEL_MAX = 2048;

/** What the header of a picture says; sizes are those of stored pixels. */
export interface Header {
  width: number;
  height: number;
  mode: Mode;
  /** The model's integer quality, and the same on the scale 1..100 for people. */
  level: number;
  quality: number;
  /** The first 16 hex digits of the id of the model that decodes the file; zeros where no tile needs one. */
  model: string;
  /** Side of a tile in pixels, and how many there are across, down and in all. */
  tile: number;
  columns: number;
  rows: number;
  tiles: number;
  /** As EXIF counts, 1..8: how stored pixels are turned and mirrored when they are shown. */
  orientation: number;
  /** Bits of a sample, 8..16. */
  bits: number;
  /** Colour primaries, transfer characteristics and full range flag of ITU-T H.273. */
  cicp: readonly [number, number, number] | null;
  /** The values that the least and the largest sample stand for. */
  range: readonly [number, number] | null;
  /** Pixels on 100 metres, across and down. */
  resolution: readonly [number, number] | null;
}

/** The header of a header chunk's payload. Throws VersionError for what is reserved, CorruptFile. */
export function unpackHeader(payload: Uint8Array): Header {
  return reading("the header chunk is not valid", "header", () => {
    const fields = new Fields(payload);
    const header = readHeader(fields);
    if (fields.rest) throw new FieldError(`it has ${fields.rest} bytes too many`);
    return header;
  });
}

function readHeader(fields: Fields): Header {
  const first = fields.byte();
  const kind = first & 15;
  if (kind) {
    throw new VersionError(`the file holds no picture but media of kind ${kind}, which needs a newer aez`);
  }
  const mode = MODES[first >> 4];
  if (!mode) throw new VersionError(`the file has pixel mode ${first >> 4}, which needs a newer aez`);
  const follows = fields.byte();
  if (follows & 0x80) throw new VersionError("the header has fields 0x80, which need a newer aez");
  const width = within(fields.varint(), 1, SIZE_MAX, "pixels across");
  const height = within(fields.varint(), 1, SIZE_MAX, "pixels down");
  const level = fields.byte() | (fields.byte() << 8);
  const model = hex(fields.take(8));
  const tile = within(fields.varint() * TILE_UNIT, TILE_UNIT, TILE_MAX, "pixels a tile");
  const bits = follows & 8 ? within(fields.byte(), 9, 16, "bits of a sample") : 8;
  const cicp =
    follows & 16 ? ([fields.byte(), fields.byte(), within(fields.byte(), 0, 1, "range flag")] as const) : null;
  const range = follows & 32 ? readRange(fields) : null;
  const resolution = follows & 64 ? ([readResolution(fields), readResolution(fields)] as const) : null;
  const columns = Math.ceil(width / tile);
  const rows = Math.ceil(height / tile);
  const quality = Math.round((1 + (level / LEVEL_MAX) * 99) * 100) / 100;
  const orientation = (follows & 7) + 1;
  const tiles = columns * rows;
  return {
    width,
    height,
    mode,
    level,
    quality,
    model,
    tile,
    columns,
    rows,
    tiles,
    orientation,
    bits,
    cicp,
    range,
    resolution,
  };
}

function within(number: number, low: number, high: number, what: string): number {
  if (number < low || number > high) throw new FieldError(`${number} ${what} are outside ${low}..${high}`);
  return number;
}

function readRange(fields: Fields): readonly [number, number] {
  const low = fields.float32();
  const high = fields.float32();
  if (!Number.isFinite(low) || !Number.isFinite(high) || low >= high) {
    throw new FieldError(`values from ${low} to ${high} are no range`);
  }
  return [low, high];
}

function readResolution(fields: Fields): number {
  return within(fields.varint(), 1, RESOLUTION_MAX, "pixels on 100 m");
}

/** Bytes as hex digits. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function hasAlpha(header: Header): boolean {
  return header.mode === "LA" || header.mode === "RGBA";
}

export function alphaBits(header: Header): number {
  return header.bits === 8 ? 8 : 16;
}

/** The stored pixels of a tile. */
export function tileBox(header: Header, number: number): Box {
  const left = (number % header.columns) * header.tile;
  const top = Math.floor(number / header.columns) * header.tile;
  const right = Math.min(left + header.tile, header.width);
  return { left, top, right, bottom: Math.min(top + header.tile, header.height) };
}
