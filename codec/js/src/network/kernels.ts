// The compiled kernels, and the memory that they work on.

import { UnsupportedInput } from "../errors.js";

/** A place in the kernels' memory, in bytes from its start. */
export type Pointer = number;

interface Exports extends Compiled {
  elementwise(out: Pointer, x: Pointer, channels: number, pixels: number, steps: Pointer, count: number): void;
  convolve(convolution: Pointer): void;
  convolve_depthwise(convolution: Pointer): void;
  rearrange(out: Pointer, x: Pointer, sizes: Pointer, strides: Pointer): void;
  to_samples(
    out: Pointer,
    image: Pointer,
    rows: number,
    columns: number,
    top: number,
    left: number,
    height: number,
    width: number,
    white: number,
  ): number;
  prepare_tables(tables: Pointer): void;
  start_coder(coder: Pointer): void;
  is_finished(coder: Pointer): number;
  decode_symbols(coder: Pointer, tables: Pointer, index: Pointer, count: number, out: Pointer, order: Pointer): number;
  hyper_tables(
    z: Pointer,
    channels: number,
    rows: number,
    columns: number,
    phase: number,
    numbers: Pointer,
    out: Pointer,
  ): void;
  to_indices(out: Pointer, x: Pointer, count: number): number;
  to_floats(out: Pointer, x: Pointer, count: number): void;
  sha256(out: Pointer, bytes: Pointer, count: number): void;
}

/** What all compiled kernels have. */
interface Compiled {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
}

const PAGE = 65536;
const ALIGNMENT = 16;
const MEMORY_MAX = 2 ** 32 - PAGE;

/** One instance of the kernels with its memory, of which pieces are taken and given back. */
export class Kernels<Run extends Compiled = Exports> {
  readonly run: Run;
  /** Pieces that are free, ascending, none touching the next. */
  #free: { start: Pointer; end: Pointer }[];
  readonly #sizes = new Map<Pointer, number>();
  #scope: Pointer[] | null = null;

  private constructor(exports: Run) {
    this.run = exports;
    const start = Math.ceil((exports.__heap_base.value as number) / ALIGNMENT) * ALIGNMENT;
    this.#free = [{ start, end: exports.memory.buffer.byteLength }];
  }

  /** Compiled kernels, packed by zlib and base64. Throws UnsupportedInput. */
  static async start<Run extends Compiled = Exports>(packed: string): Promise<Kernels<Run>> {
    try {
      const bytes = await inflated(packed, "deflate");
      const { instance } = await WebAssembly.instantiate(bytes, {});
      return new Kernels(instance.exports as unknown as Run);
    } catch (error) {
      throw new UnsupportedInput("pictures need WebAssembly with SIMD, which is not here or not allowed", {
        cause: error,
      });
    }
  }

  /** A piece of memory, to be given back by `release`, or at the end of `within`. */
  take(bytes: number): Pointer {
    const size = (Math.ceil(bytes / ALIGNMENT) + 1) * ALIGNMENT; // kernels may read beyond the end
    let at = this.#free.findIndex((piece) => piece.end - piece.start >= size);
    if (at < 0) at = this.#grow(size);
    const piece = this.#free[at] as { start: Pointer; end: Pointer };
    const start = piece.start;
    piece.start += size;
    if (piece.start === piece.end) this.#free.splice(at, 1);
    this.#sizes.set(start, size);
    this.#scope?.push(start);
    return start;
  }

  release(start: Pointer): void {
    const end = start + (this.#sizes.get(start) ?? 0);
    this.#sizes.delete(start);
    let at = this.#free.findIndex((piece) => piece.start > start);
    if (at < 0) at = this.#free.length;
    this.#free.splice(at, 0, { start, end });
    for (const left of [at, at - 1]) {
      const [one, next] = [this.#free[left], this.#free[left + 1]];
      if (one && next && one.end === next.start) this.#free.splice(left, 2, { start: one.start, end: next.end });
    }
  }

  /** What `work` gives; memory that it took is given back, unless nothing is to note it. */
  within<T>(work: () => T, taken: Pointer[] | null = []): T {
    const outer = this.#scope;
    this.#scope = taken;
    try {
      return work();
    } finally {
      this.#scope = outer;
      for (const start of taken ?? []) this.release(start);
    }
  }

  /** What `work` gives; memory that it took stays, whatever `within` is around it. */
  keeping<T>(work: () => T): T {
    return this.within(work, null);
  }

  /** A copy of bytes or numbers in this memory. */
  put(values: ArrayBufferView): Pointer {
    const start = this.take(values.byteLength);
    this.bytes(start, values.byteLength).set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return start;
  }

  // Views hold until memory is taken the next time.
  bytes(start: Pointer, count: number): Uint8Array {
    return new Uint8Array(this.run.memory.buffer, start, count);
  }

  words(start: Pointer, count: number): Uint32Array {
    return new Uint32Array(this.run.memory.buffer, start, count);
  }

  integers(start: Pointer, count: number): Int32Array {
    return new Int32Array(this.run.memory.buffer, start, count);
  }

  floats(start: Pointer, count: number): Float32Array {
    return new Float32Array(this.run.memory.buffer, start, count);
  }

  shorts(start: Pointer, count: number): Uint16Array {
    return new Uint16Array(this.run.memory.buffer, start, count);
  }

  #grow(size: number): number {
    const { memory } = this.run;
    const end = memory.buffer.byteLength;
    const last = this.#free[this.#free.length - 1];
    const missing = size - (last?.end === end ? last.end - last.start : 0);
    try {
      if (end + missing > MEMORY_MAX) throw new RangeError();
      memory.grow(Math.ceil(missing / PAGE));
    } catch (error) {
      throw new UnsupportedInput("the picture needs more memory than there is", { cause: error });
    }
    if (last?.end === end) last.end = memory.buffer.byteLength;
    else this.#free.push({ start: end, end: memory.buffer.byteLength });
    return this.#free.length - 1;
  }
}

/** What was packed and then written as text. */
export async function inflated(packed: string, format: CompressionFormat): Promise<Uint8Array<ArrayBuffer>> {
  const body = new Response(decodeBase64(packed)).body as ReadableStream<Uint8Array<ArrayBuffer>>;
  return new Uint8Array(await new Response(body.pipeThrough(new DecompressionStream(format))).arrayBuffer());
}

/** Bytes of base64 text. Throws what `atob` throws. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}
