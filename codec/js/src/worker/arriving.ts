// A file on its way to a worker: all of its bytes, or its first ones and those that come.
import { type Input, InvalidArgument, internals } from "../index.js";

const { bytesOf } = internals;
const HEAD_BYTES = 78;

export interface Arriving {
  /** All bytes where it is `whole`, else the first ones. */
  start: Uint8Array;
  whole: boolean;
  /** The first bytes and those that come. */
  chunks(): AsyncGenerator<Uint8Array, void, void>;
  stream(): ReadableStream<Uint8Array>;
  close(): void;
}

/** What is handed over; a stream is waited for, unless its tiles are to be seen while it arrives. */
export async function arriving(input: Input, signal: AbortSignal | undefined, early: boolean): Promise<Arriving> {
  if (input instanceof Response) {
    if (!input.ok)
      throw new InvalidArgument(`the file could not be fetched: ${input.status} ${input.statusText}`.trim());
    return input.body ? await ofStream(input.body, signal, early) : whole(new Uint8Array());
  }
  if (input instanceof Blob) return whole(new Uint8Array(await input.arrayBuffer()));
  if (input instanceof ReadableStream) return await ofStream(input, signal, early);
  const bytes = bytesOf(input);
  // A view is sent with all of the buffer that it lies in.
  return whole(bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice());
}

function whole(start: Uint8Array): Arriving {
  const stream = () => new Blob([start as Uint8Array<ArrayBuffer>]).stream();
  return { start, whole: true, stream, chunks: async function* () {}, close: () => undefined };
}

async function ofStream(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
  early: boolean,
): Promise<Arriving> {
  if (stream.locked) throw new InvalidArgument("the file has been read already");
  const reader = stream.getReader();
  const close = () => void reader.cancel(signal?.reason).catch(() => undefined);
  signal?.addEventListener("abort", close);
  const pieces: Uint8Array[] = [];
  let size = 0;
  let ended = false;
  while (!ended && (!early || size < HEAD_BYTES)) {
    const { value, done } = await reader.read();
    signal?.throwIfAborted();
    ended = done;
    if (!ended) {
      const piece = bytesOf(value as Uint8Array);
      pieces.push(piece);
      size += piece.length;
    }
  }
  const start = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    start.set(piece, at);
    at += piece.length;
  }
  if (ended) return whole(start);
  async function* chunks(): AsyncGenerator<Uint8Array, void, void> {
    yield start;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      yield bytesOf(value);
    }
  }
  const rest = (): ReadableStream<Uint8Array> => {
    const coming = chunks();
    return new ReadableStream({
      async pull(controller) {
        const { value, done } = await coming.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
  };
  return { start, whole: false, chunks, stream: rest, close };
}
