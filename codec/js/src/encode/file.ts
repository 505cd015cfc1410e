// The bytes of a file: signature, chunks, index, end mark.
import { internals } from "../index.js";

const SIGNATURE = [0x89, 0x41, 0x45, 0x5a, 0x0d, 0x0a, 0x1a, 2];
const END_MARK = [0x41, 0x45, 0x5a, 0x1a];
const TILE_UNIT = 16;
const [RGB, RGBA] = [2, 3];

/** Pieces of a file, in order. */
export class FileWriter {
  private readonly pieces: Uint8Array[] = [];
  private readonly index: number[] = [];
  private nextTile = 0;
  /** Whether a tile is of the model: what needs none names none. */
  private learned = false;

  /** `model`: hex digits of an id. */
  constructor(
    private readonly width: number,
    private readonly height: number,
    private readonly alpha: boolean,
    private readonly level: number,
    private readonly model: string,
    private readonly side: number,
  ) {}

  /** `alpha`: that of a tile, in a picture that has it. */
  tile(content: Uint8Array, alpha: Uint8Array | null): void {
    const { varintBytes } = internals;
    this.learned ||= content[0] === 0;
    const before = alpha ? [varintBytes(alpha.length), alpha] : [];
    this.chunk("T", [varintBytes(this.nextTile++), content.subarray(0, 1), ...before, content.subarray(1)]);
  }

  /** All bytes; nothing is added after. */
  finish(): Uint8Array<ArrayBuffer> {
    const tiles = this.pieces.splice(0);
    this.header();
    const head = this.pieces.splice(0);
    const end = new Uint8Array(8);
    new DataView(end.buffer).setUint32(0, this.frame("E", [this.index]) + end.length, true);
    end.set(END_MARK, 4);
    return joined([SIGNATURE, ...head, ...tiles, ...this.pieces, end]);
  }

  private header(): void {
    const { varintBytes } = internals;
    const { width, height, model, learned } = this;
    const level = learned ? this.level : 0;
    const id = Array.from({ length: 8 }, (_, at) =>
      learned ? Number.parseInt(model.slice(2 * at, 2 * at + 2), 16) : 0,
    );
    const mode = (this.alpha ? RGBA : RGB) << 4;
    this.frame("H", [
      [mode, 0, ...varintBytes(width), ...varintBytes(height), level & 255, level >> 8, ...id],
      varintBytes(this.side / TILE_UNIT),
    ]);
  }

  private chunk(letter: string, contents: ArrayLike<number>[]): void {
    const size = this.frame(letter, contents);
    this.index.push(letter.charCodeAt(0), ...internals.varintBytes(size));
  }

  private frame(letter: string, contents: ArrayLike<number>[]): number {
    const size = contents.reduce((sum, { length }) => sum + length, 0);
    const body = joined([[letter.charCodeAt(0), ...internals.varintBytes(size)], ...contents]);
    const crc = new Uint8Array(4);
    new DataView(crc.buffer).setUint32(0, internals.crc32(body), true);
    this.pieces.push(body, crc);
    return body.length + 4;
  }
}

export function joined(pieces: ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}
