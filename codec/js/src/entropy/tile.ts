// The symbols of one tile: what decodes is what was encoded, or an error.
import { FieldError, Fields, reading, uint32 } from "../container/fields.js";
import { CorruptFile, ModelError } from "../errors.js";
import type { Kernels, Pointer } from "../network/kernels.js";
import type { TileTables } from "./tables.js";

const PHASES = 3;
const LENGTH_BYTES = 5;
const ESCAPE_MAX = 2 ** 21;
// Words of the struct Coder in entropy.c, and where of them the state, its counts and checksum stand.
const CODER_WORDS = 8;
const CHECKSUM_WORD = 7;
const [NO_TABLE, NO_ESCAPE] = [1, 2];

/** Decodes the parts of a tile in the order of their coding; memory is taken from the scope of the caller. */
export class TileDecoder {
  readonly #coder: Pointer;
  readonly #expected: number;

  /** Throws CorruptFile. */
  constructor(
    private readonly kernels: Kernels,
    private readonly tables: TileTables,
    payload: Uint8Array,
  ) {
    const { checksum, escapes, words } = parsePayload(payload);
    this.#expected = checksum;
    const escapesAt = kernels.put(escapes);
    const coder = Uint32Array.of(0, 0, kernels.put(words), words.length, escapesAt, escapes.length, 0, 0);
    this.#coder = kernels.put(coder);
    kernels.run.start_coder(this.#coder);
  }

  /** z: int32 [channels][rows][columns]. */
  hyper(channels: number, rows: number, columns: number, level: number): Pointer {
    const { kernels } = this;
    const count = channels * rows * columns;
    const numbers = kernels.put(this.tables.hyperNumbers(level));
    const index = kernels.take(count);
    const z = kernels.take(4 * count);
    const part = kernels.take(4 * count);
    kernels.integers(z, count).fill(0);
    for (let phase = 0; phase < PHASES; phase++) {
      kernels.run.hyper_tables(z, channels, rows, columns, phase, numbers, index);
      this.#take(this.tables.hyper, index, count, part);
      const [sum, found] = [kernels.integers(z, count), kernels.integers(part, count)];
      for (let i = 0; i < count; i++) sum[i] = (sum[i] as number) + (found[i] as number);
    }
    return z;
  }

  /** Residuals of the next phase, int32, for its indices, bytes. */
  residual(index: Pointer, count: number, out: Pointer): void {
    this.#take(this.tables.residual, index, count, out);
  }

  /** The checksum of the symbols so far. */
  get checksum(): number {
    return this.kernels.words(this.#coder, CODER_WORDS)[CHECKSUM_WORD] as number;
  }

  /** Throws CorruptFile unless everything was decoded, and rightly. */
  finish(): void {
    if (this.checksum !== this.#expected) {
      throw new CorruptFile(
        "a tile's symbols do not have its checksum: the file is damaged or of another model",
        "tile",
      );
    }
    if (!this.kernels.run.is_finished(this.#coder)) throw new CorruptFile("a tile holds more than its symbols", "tile");
  }

  #take(tables: Pointer, index: Pointer, count: number, out: Pointer): void {
    this.kernels.within(() => {
      const order = this.kernels.take(4 * count);
      const outcome = this.kernels.run.decode_symbols(this.#coder, tables, index, count, out, order);
      if (outcome === NO_TABLE) throw new ModelError("the scale graph gives an index that has no table");
      if (outcome === NO_ESCAPE) throw new CorruptFile("a tile needs more escapes than it has", "tile");
      if (outcome) throw new CorruptFile("a tile's escape stands for a number that is too large", "tile");
    });
  }
}

function parsePayload(payload: Uint8Array): { checksum: number; escapes: Uint32Array; words: Uint32Array } {
  return reading("a tile's symbols cannot be read", "tile", () => {
    const fields = new Fields(payload);
    const checksum = uint32(fields.take(4));
    const before = fields.position;
    const size = fields.varint();
    if (fields.position - before > LENGTH_BYTES) throw new FieldError("a length has more than five bytes");
    const escapes = parseEscapes(fields.take(size));
    if (fields.rest % 4) throw new FieldError("there is no whole number of words");
    const words = new Uint32Array(fields.take(fields.rest).slice().buffer);
    if (words.length && !words[words.length - 1]) throw new FieldError("the words end in a zero");
    return { checksum, escapes, words };
  });
}

function parseEscapes(bytes: Uint8Array): Uint32Array {
  const fields = new Fields(bytes);
  const found: number[] = [];
  while (fields.rest) {
    const number = fields.varint();
    if (number >= ESCAPE_MAX) throw new FieldError("an escape has more than three bytes");
    found.push(number);
  }
  return Uint32Array.from(found);
}
