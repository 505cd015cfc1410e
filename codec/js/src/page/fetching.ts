// A file from the network: its header as soon as that is there, its bytes when they are wanted.
import { type Header, InvalidArgument, info, TruncatedFile, UnsupportedInput } from "../index.js";
import { turn } from "./turns.js";

/** Bytes that arrive before somebody reads them, at most. */
const AHEAD = 2 ** 22;
const HEAD_BYTES = 78;
/** Pixels and side of the largest canvas; what is larger is shown smaller. */
const PIXELS_MAX = 2 ** 25;
const SIDE_MAX = 16384;
const SCALES = [1, 2, 4, 8];

export interface Arriving {
  header: Header;
  stream: ReadableStream<Uint8Array>;
}

/** An address as the page reads it; what is none stays as it is. */
export function absolute(address: string): string {
  return URL.canParse(address, document.baseURI) ? new URL(address, document.baseURI).href : address;
}

/** A file of which the header has arrived; `asked` where the browser has just asked for it itself. Throws InvalidArgument where it cannot be fetched, CorruptFile, VersionError. */
export async function fetchPicture(
  address: string,
  signal: AbortSignal,
  credentials: RequestCredentials = "same-origin",
  asked = false,
): Promise<Arriving> {
  await turn();
  signal.throwIfAborted();
  const cache = asked ? "force-cache" : "default";
  const response = await fetch(address, { signal, credentials, cache }).catch((error: unknown) => {
    signal.throwIfAborted();
    const why = "there is no network, no such server, or it lets no other page read it";
    throw new InvalidArgument(`${address} could not be fetched: ${why}`, { cause: error });
  });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new InvalidArgument(`${address} could not be fetched: ${response.status} ${response.statusText}`.trim());
  }
  return await withHeader(response.body);
}

/** The header, and a stream of all bytes that reads on by itself as far as it may. */
async function withHeader(body: ReadableStream<Uint8Array>): Promise<Arriving> {
  const reader = body.getReader();
  const pieces: Uint8Array[] = [];
  let start = new Uint8Array(0);
  let header: Header | null = null;
  while (!header) {
    const { value, done } = await reader.read().catch(interrupted);
    if (value) {
      pieces.push(value);
      const joined = new Uint8Array(start.length + value.length);
      joined.set(start);
      joined.set(value, start.length);
      start = joined;
    }
    try {
      header = info(start);
    } catch (error) {
      if (!done && error instanceof TruncatedFile && start.length < HEAD_BYTES) continue;
      await reader.cancel().catch(() => undefined);
      throw error;
    }
  }
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    const piece = pieces.shift() ?? (await reader.read().catch(interrupted)).value;
    if (piece) controller.enqueue(piece);
    else controller.close();
  };
  const cancel = (reason: unknown) => reader.cancel(reason);
  const strategy = new ByteLengthQueuingStrategy({ highWaterMark: AHEAD });
  return { header, stream: new ReadableStream<Uint8Array>({ pull, cancel }, strategy) };
}

function interrupted(error: unknown): never {
  if (!(error instanceof TypeError)) throw error; // whoever fetched ended it
  throw new InvalidArgument("the file stopped arriving: the network failed", { cause: error });
}

/** The scale at which a canvas can hold a picture. Throws UnsupportedInput. */
export function scaleOf({ width, height }: Header): number {
  const fits = (scale: number) =>
    Math.ceil(width / scale) * Math.ceil(height / scale) <= PIXELS_MAX && Math.max(width, height) / scale <= SIDE_MAX;
  const scale = SCALES.find(fits);
  if (scale) return scale;
  throw new UnsupportedInput(`a picture of ${width}x${height} pixels is larger than a page can show`);
}

/** Width and height as the picture is shown, over a scale. */
export function shownSize(header: Header, scale = 1): [number, number] {
  const size: [number, number] = [Math.ceil(header.width / scale), Math.ceil(header.height / scale)];
  return header.orientation > 4 ? [size[1], size[0]] : size;
}
