// Where bytes come from: memory, or a stream that is read as far as is asked.
import { InvalidArgument } from "../errors.js";

/** What a file can be handed over as. */
export type Input = ArrayBuffer | ArrayBufferView | Blob | Response | ReadableStream<Uint8Array>;

/** Bytes in order. `whole` tells whether all of them are here already, and then `size` how many. */
export interface Source {
  readonly size: number | null;
  /** `count` bytes, fewer only at the end. */
  read(count: number): Promise<Uint8Array>;
  /** To be called when no more is read. */
  close(): Promise<void>;
}

/** Whether that lies in memory, whatever it is; buffers of other windows do, too. */
export function isBytes(data: unknown): data is ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(data) || Object.prototype.toString.call(data) === "[object ArrayBuffer]";
}

/** The bytes of what lies in memory, without a copy. Throws InvalidArgument for what is neither a buffer nor a view. */
export function bytesOf(data: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (isBytes(data)) return new Uint8Array(data);
  throw new InvalidArgument("a file is handed over as bytes, a Blob, a Response or a ReadableStream");
}

export async function openSource(input: Input): Promise<Source> {
  if (input instanceof Response) {
    if (!input.ok)
      throw new InvalidArgument(`the file could not be fetched: ${input.status} ${input.statusText}`.trim());
  }
  const stream = input instanceof Response ? input.body : input;
  if (stream instanceof ReadableStream) {
    if (stream.locked) throw new InvalidArgument("the file has been read already");
    return new StreamSource(stream);
  }
  return new MemorySource(
    input instanceof Response || input instanceof Blob ? await input.arrayBuffer() : (input as ArrayBuffer),
  );
}

class MemorySource implements Source {
  #position = 0;
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(data: ArrayBuffer | ArrayBufferView) {
    this.#bytes = bytesOf(data);
    this.size = this.#bytes.length;
  }

  async read(count: number): Promise<Uint8Array> {
    const taken = this.#bytes.subarray(this.#position, this.#position + count);
    this.#position += taken.length;
    return taken;
  }

  async close(): Promise<void> {}
}

class StreamSource implements Source {
  readonly size = null;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #pieces: Uint8Array[] = [];
  #held = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  async read(count: number): Promise<Uint8Array> {
    while (this.#held < count) {
      const { value, done } = await this.#reader.read();
      if (done) break;
      const piece = bytesOf(value);
      this.#pieces.push(piece);
      this.#held += piece.length;
    }
    return this.#take(Math.min(count, this.#held));
  }

  #take(count: number): Uint8Array {
    const first = this.#pieces[0];
    if (first && first.length >= count) {
      this.#pieces[0] = first.subarray(count);
      this.#held -= count;
      return first.subarray(0, count);
    }
    const taken = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const piece = this.#pieces.shift() as Uint8Array;
      const part = piece.subarray(0, count - at);
      taken.set(part, at);
      at += part.length;
      if (part.length < piece.length) this.#pieces.unshift(piece.subarray(part.length));
    }
    this.#held -= count;
    return taken;
  }

  async close(): Promise<void> {
    await this.#reader.cancel().catch(() => undefined);
  }
}
