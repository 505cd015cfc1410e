// A worker of a pool: decodes what it is told to, one job after another.
import { AezError, CorruptFile, type DecodeOptions, decode, type Model, ModelError, type Models } from "../index.js";
import type { FromWorker, SentModels, ToWorker } from "./messages.js";
import { nodeThreads } from "./threads.js";

interface Port {
  postMessage(message: FromWorker, transfer: Transferable[]): void;
}

/** A job on its way: how it is ended, what goes on with its stream, and what waits for a model. */
interface Job {
  abort: AbortController;
  chunks: ReadableStreamDefaultController<Uint8Array> | null;
  answer: { resolve(numbers: number[]): void; reject(error: Error): void } | null;
}

const models = new Map<number, Model>();
const jobs = new Map<number, Job>();

const threads = nodeThreads();
const port = (threads?.parentPort ?? globalThis) as unknown as Port;
const tell = (message: FromWorker, transfer: Transferable[] = []): void => port.postMessage(message, transfer);

function hear(message: ToWorker): void {
  if (message.type === "model") {
    models.set(message.number, message.model);
    return;
  }
  if (message.type === "forget") {
    models.delete(message.number);
    return;
  }
  if (message.type === "decode") {
    void work(message);
    return;
  }
  const job = jobs.get(message.job);
  if (!job) return;
  if (message.type === "abort") job.abort.abort();
  else if (message.type === "chunk") {
    if (message.bytes) job.chunks?.enqueue(message.bytes);
    else job.chunks?.close();
  } else if (message.error) job.answer?.reject(new ModelError(message.error.message));
  else job.answer?.resolve(message.numbers);
}

async function work(asked: ToWorker & { type: "decode" }): Promise<void> {
  const job: Job = { abort: new AbortController(), chunks: null, answer: null };
  const { job: number } = asked;
  jobs.set(number, job);
  const input =
    asked.bytes ??
    new ReadableStream<Uint8Array>({
      start(controller) {
        job.chunks = controller;
      },
    });
  const options: DecodeOptions = { ...asked.options, signal: job.abort.signal };
  const given = modelsOf(number, job, asked.models);
  if (given !== undefined) options.model = given;
  options.onHeader = (header) => tell({ type: "header", job: number, header });
  if (asked.tiles) {
    options.onTile = (tile, header) => tell({ type: "tile", job: number, tile, header }, [tile.rgba.buffer]);
  }
  try {
    const { header, colours, alpha, metadata } = await decode(input, options);
    const buffers = [colours.data.buffer, ...(alpha ? [alpha.data.buffer] : [])] as ArrayBuffer[];
    tell({ type: "done", job: number, header, colours, alpha, metadata }, buffers);
  } catch (error) {
    const { name, message } = error as Error;
    const chunk = error instanceof CorruptFile ? { chunk: error.chunk } : {};
    tell({ type: "failed", job: number, error: { name: error instanceof AezError ? name : "", message, ...chunk } });
  } finally {
    jobs.delete(number);
  }
}

function modelsOf(number: number, job: Job, sent: SentModels): Models | undefined {
  if (sent.kind === "none") return undefined;
  if (sent.kind === "ask") {
    return async (id) => {
      const numbers = await new Promise<number[]>((resolve, reject) => {
        job.answer = { resolve, reject };
        tell({ type: "wants", job: number, id });
      });
      return numbers.map((one) => models.get(one))[0];
    };
  }
  const found = sent.numbers.map((one) => models.get(one)).filter((one) => one !== undefined);
  return sent.kind === "one" ? found[0] : found;
}

if (threads) threads.parentPort?.on("message", hear);
else globalThis.addEventListener("message", ({ data }) => hear(data as ToWorker));
tell({ type: "ready" });
