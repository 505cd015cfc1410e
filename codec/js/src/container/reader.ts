// An `.aez` file as chunks, each checked: a signature, chunks, an index, an end mark.
import { CorruptFile, TruncatedFile, VersionError } from "../errors.js";
import { crc32 } from "./crc32.js";
import { FieldError, Fields, reading, uint32, varintBytes } from "./fields.js";
import { HEADER_MAX, type Header, hex, unpackHeader } from "./header.js";
import type { Source } from "./source.js";

const VERSION = 2;
const SIGNATURE = [0x89, 0x41, 0x45, 0x5a, 0x0d, 0x0a, 0x1a, VERSION];
const END_MARK = [0x41, 0x45, 0x5a, 0x1a];
const PAYLOAD_MAX = 2 ** 30;
const LENGTH_BYTES = 5;
export const NAMES: Record<string, string> = {
  H: "header",
  M: "model",
  T: "tile",
  E: "index",
  x: "EXIF",
  i: "ICC profile",
  m: "XMP",
  c: "colorimetry",
};

/** A chunk whose checksum holds. `tile` is its number in `T`, -1 in others; `bytes` are all that it takes in the file. */
export interface Chunk {
  type: string;
  content: Uint8Array;
  tile: number;
  bytes: number;
}

/** Bytes at the start of a file that hold its header, at most. */
export const HEAD_BYTES = SIGNATURE.length + 2 + HEADER_MAX + 4;

/** The header of a file that begins with these bytes. Throws CorruptFile, TruncatedFile, VersionError. */
export function readHead(bytes: Uint8Array): Header {
  checkSignature(bytes.subarray(0, SIGNATURE.length));
  const head = bytes.subarray(SIGNATURE.length);
  const size = head[1] as number;
  if (head.length < 2) throw new TruncatedFile("the file ends in the header chunk", "header");
  if (head[0] !== 0x48) throw new CorruptFile("no header stands where it should", "header");
  if (size > HEADER_MAX) throw new CorruptFile(`the header chunk gives no length within ${HEADER_MAX} bytes`, "header");
  if (head.length < size + 6) throw new TruncatedFile("the file ends in the header chunk", "header");
  if (crc32(head.subarray(0, size + 2)) !== uint32(head, size + 2))
    throw new CorruptFile("the header chunk fails its checksum", "header");
  return unpackHeader(head.subarray(2, size + 2));
}

function checkSignature(found: Uint8Array): void {
  const wrong = found.findIndex((byte, at) => byte !== SIGNATURE[at]);
  if (wrong >= 0 && wrong < SIGNATURE.length - 1) {
    throw new CorruptFile(`this is no .aez file: it starts with the bytes ${hex(found)}`, "signature");
  }
  if (found.length < SIGNATURE.length) {
    throw new TruncatedFile(`the file ends in the signature, after ${found.length} bytes`, "signature");
  }
  if (wrong >= 0) throw new VersionError(`the file has format version ${found[wrong]}, and this aez reads ${VERSION}`);
}

/** Reads a file from its start: `open`, then `chunks`. */
export class Reader {
  private position = 0;
  #ordinal = 0;
  #nextTile = 0;
  readonly #seen = new Set<string>();
  readonly #index: number[] = [];

  private constructor(
    private readonly source: Source,
    readonly header: Header,
  ) {}

  static async open(source: Source): Promise<Reader> {
    const start = await source.read(SIGNATURE.length + 2);
    checkSignature(start.subarray(0, SIGNATURE.length));
    const size = start.length < SIGNATURE.length + 2 ? 0 : (start[SIGNATURE.length + 1] as number);
    const rest = await source.read(Math.min(size, HEADER_MAX) + 4);
    const bytes = new Uint8Array(start.length + rest.length);
    bytes.set(start);
    bytes.set(rest, start.length);
    const reader = new Reader(source, readHead(bytes));
    reader.position = bytes.length;
    return reader;
  }

  /** All chunks between header and index that are known. Throws CorruptFile, TruncatedFile, VersionError. */
  async *chunks(): AsyncGenerator<Chunk, void, void> {
    for (;;) {
      const start = this.position;
      const { type, payload } = await this.#frame();
      if (type === "E") {
        await this.#checkEnd(payload, this.position - start);
        break;
      }
      this.#index.push(type.charCodeAt(0), ...varintBytes(this.position - start));
      const chunk = this.#inOrder(type, payload, this.position - start);
      if (type in NAMES) yield chunk;
    }
    if (this.#nextTile < this.header.tiles) {
      throw new CorruptFile(`the file holds ${this.#nextTile} of ${this.header.tiles} tiles`, "tile");
    }
  }

  async #read(count: number, what: string): Promise<Uint8Array> {
    const bytes = await this.source.read(count);
    this.position += bytes.length;
    if (bytes.length < count) {
      throw new TruncatedFile(`the file ends in ${what}, after ${this.#nextTile} of ${this.header.tiles} tiles`);
    }
    return bytes;
  }

  async #frame(): Promise<{ type: string; payload: Uint8Array }> {
    const start = this.position;
    const letter = (await this.#read(1, `byte ${start}, before its index`))[0] as number;
    const type = String.fromCharCode(letter);
    if (!/[A-Za-z]/.test(type)) throw new CorruptFile(`byte ${start} starts no chunk`);
    const name = NAMES[type] ?? `unknown chunk ${type}`;
    const called = `the ${name} chunk (number ${++this.#ordinal} in the file, at byte ${start})`;
    const octets = [letter];
    do octets.push((await this.#read(1, called))[0] as number);
    while (octets.length <= LENGTH_BYTES && (octets[octets.length - 1] as number) > 0x7f);
    const size = payloadSize(octets, called, name);
    const bytes = await this.#read(size + 4, called);
    const payload = bytes.subarray(0, size);
    if (crc32(payload, crc32(octets)) !== uint32(bytes, size))
      throw new CorruptFile(`${called} fails its checksum`, name);
    if (type < "a" && !(type in NAMES)) throw new VersionError(`${called} must be understood: it needs a newer aez`);
    return { type, payload };
  }

  #inOrder(type: string, payload: Uint8Array, bytes: number): Chunk {
    const name = NAMES[type] ?? type;
    const { header } = this;
    if (type === "T") {
      const [tile, content] = splitTile(payload);
      if (tile !== this.#nextTile || tile >= header.tiles) {
        throw new CorruptFile(`tile ${tile} stands where tile ${this.#nextTile} of ${header.tiles} should be`, "tile");
      }
      this.#nextTile++;
      return { type, content, tile, bytes };
    }
    const refused = header.cicp !== null && (type === "i" || type === "c");
    const late = type in NAMES && this.#nextTile > 0;
    if (type === "H" || refused || late || this.#seen.has(type)) {
      throw new CorruptFile(`the ${name} chunk has no place in this file`, name);
    }
    if (type in NAMES) this.#seen.add(type);
    return { type, content: payload, tile: -1, bytes };
  }

  async #checkEnd(payload: Uint8Array, size: number): Promise<void> {
    if (payload.length !== this.#index.length || payload.some((byte, at) => byte !== this.#index[at])) {
      throw new CorruptFile("the index does not list the chunks that stand in the file", "index");
    }
    const trailer = await this.#read(8, "its end mark");
    if (uint32(trailer) !== size + 8 || END_MARK.some((byte, at) => byte !== trailer[4 + at])) {
      throw new CorruptFile("the end mark behind the index is damaged", "index");
    }
    if ((await this.source.read(1)).length) throw new CorruptFile("bytes follow the end mark", "index");
  }
}

function payloadSize(octets: number[], called: string, name: string): number {
  let size = PAYLOAD_MAX + 1;
  try {
    size = new Fields(Uint8Array.from(octets.slice(1))).varint();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
  }
  if (size > PAYLOAD_MAX) throw new CorruptFile(`${called} gives no length within ${PAYLOAD_MAX} bytes`, name);
  return size;
}

function splitTile(payload: Uint8Array): [number, Uint8Array] {
  return reading("a tile chunk holds no tile number", "tile", () => {
    const fields = new Fields(payload);
    return [fields.varint(), payload.subarray(fields.position)];
  });
}
