// Encoding beside the page, in a worker of its own, so that the page stays smooth.
import { AezError, UnsupportedInput } from "../index.js";
import type { Encoder } from "./encoders.js";

export type ToCoder =
  | { type: "model"; id: string; bytes: ArrayBuffer }
  /** `bitmap` where it is another one than before. */
  | { type: "encode"; run: number; bitmap: ImageBitmap | null; model: string; quality: number }
  | { type: "stop" };

export type FromCoder =
  | { type: "progress"; run: number; done: number; tiles: number }
  | { type: "done"; run: number; bytes: Uint8Array<ArrayBuffer>; seconds: number }
  | { type: "failed"; run: number; message: string; code: number | null };

export interface Encoded {
  bytes: Uint8Array<ArrayBuffer>;
  /** What it took, the model being there. */
  seconds: number;
}

interface Run {
  number: number;
  resolve(encoded: Encoded): void;
  reject(error: unknown): void;
  onProgress(done: number, tiles: number): void;
}

/** One picture and its worker, which begins with the first order. */
export class Coder {
  private worker: Worker | null = null;
  private readonly sent = new Set<string>();
  private runs = 0;
  private run: Run | null = null;

  constructor(private readonly bitmap: ImageBitmap) {}

  /** Encodes; what was ordered before is given up, with an AbortError. Errors are AezError. */
  async encode(encoder: Encoder, quality: number, onProgress: (done: number, tiles: number) => void): Promise<Encoded> {
    this.stop();
    const number = ++this.runs;
    const bytes = this.sent.has(encoder.id) ? null : await encoder.bytes();
    if (number !== this.runs) throw ended();
    const first = !this.worker;
    const worker = this.worker ?? this.begin();
    if (bytes && !this.sent.has(encoder.id)) {
      this.tell(worker, { type: "model", id: encoder.id, bytes });
      this.sent.add(encoder.id);
    }
    return await new Promise<Encoded>((resolve, reject) => {
      this.run = { number, resolve, reject, onProgress };
      const bitmap = first ? this.bitmap : null;
      this.tell(worker, { type: "encode", run: number, bitmap, model: encoder.id, quality });
    });
  }

  stop(): void {
    this.runs++;
    this.run?.reject(ended());
    this.run = null;
    if (this.worker) this.tell(this.worker, { type: "stop" });
  }

  close(): void {
    this.stop();
    this.end();
  }

  private end(): void {
    this.worker?.terminate();
    this.worker = null;
    this.sent.clear();
  }

  private begin(): Worker {
    const worker = new Worker(new URL("./encoding.js", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }: MessageEvent<FromCoder>) => this.hear(data));
    worker.addEventListener("error", () => {
      const run = this.run;
      this.run = null;
      this.end();
      run?.reject(new UnsupportedInput("the worker that encodes did not begin, or had too little memory"));
    });
    this.worker = worker;
    return worker;
  }

  private tell(worker: Worker, message: ToCoder): void {
    worker.postMessage(message);
  }

  private hear(message: FromCoder): void {
    const run = this.run;
    if (run?.number !== message.run) return;
    if (message.type === "progress") {
      run.onProgress(message.done, message.tiles);
      return;
    }
    this.run = null;
    if (message.type === "done") run.resolve(message);
    else if (message.code === null) run.reject(new Error(message.message));
    else run.reject(Object.assign(new AezError(message.message), { code: message.code }));
  }
}

function ended(): DOMException {
  return new DOMException("another order came", "AbortError");
}
