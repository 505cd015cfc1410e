// One worker of a pool, of the web or of Node: its models, the job that it does, and how it begins and ends.
import type { Model } from "../index.js";
import type { FromWorker, ToWorker } from "./messages.js";
import { nodeThreads } from "./threads.js";

const MODELS_MAX = 4;

/** What both kinds of workers can. */
interface Handle {
  postMessage(message: ToWorker, transfer: Transferable[]): void;
  terminate(): unknown;
  ref?: () => void;
  unref?: () => void;
}

/** Who hears from a worker. */
export interface Listener {
  message(message: FromWorker): void;
  /** It could not begin, or it ended by itself. */
  broken(reason: string): void;
}

export class Member {
  /** Whether it has begun. */
  ready = false;
  listener: Listener | null = null;
  private readonly handle: Handle;
  private readonly sent: number[] = [];
  private timer: ReturnType<typeof setTimeout> | null = null;

  /** Throws what the browser throws where workers are not allowed. */
  constructor(url: URL | null, broken: (reason: string) => void) {
    this.handle = start(
      url,
      (message) => {
        if (message.type === "ready") this.ready = true;
        else this.listener?.message(message);
      },
      (reason) => {
        this.listener?.broken(reason);
        broken(reason);
      },
    );
  }

  get idle(): boolean {
    return this.listener === null;
  }

  tell(message: ToWorker, transfer: Transferable[] = []): void {
    this.handle.postMessage(message, transfer);
  }

  /** Sends models that it does not have yet; those that were not asked for longest go. */
  give(models: ReadonlyMap<number, Model>): void {
    for (const [number, model] of models) {
      const at = this.sent.indexOf(number);
      if (at < 0) this.tell({ type: "model", number, model });
      else this.sent.splice(at, 1);
      this.sent.push(number);
    }
    while (this.sent.length > Math.max(MODELS_MAX, models.size)) {
      this.tell({ type: "forget", number: this.sent.shift() as number });
    }
  }

  begin(listener: Listener): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.listener = listener;
    this.handle.ref?.();
  }

  /** Rests, and calls `then` after so many milliseconds of it. */
  rest(milliseconds: number, then: () => void): void {
    this.listener = null;
    this.timer = setTimeout(then, milliseconds);
    (this.timer as { unref?: () => void }).unref?.();
    this.handle.unref?.();
  }

  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.handle.terminate();
  }
}

function start(url: URL | null, hear: (message: FromWorker) => void, broken: (reason: string) => void): Handle {
  const threads = nodeThreads();
  if (threads) {
    const thread = new threads.Worker(url ?? new URL("./thread.js", import.meta.url));
    thread.on("message", hear);
    thread.on("error", (error: Error) => broken(error.message));
    return thread;
  }
  // Bundlers know a worker by this very form.
  const worker = url ? far(url) : new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => hear(data);
  worker.onerror = (event) => {
    event.preventDefault();
    broken(event.message || "its script could not be loaded");
  };
  return worker;
}

/** A worker whose script may lie on another origin, which workers are begun from by way of a page of one line. */
function far(url: URL): Worker {
  if (!globalThis.location || url.origin === globalThis.location.origin) return new Worker(url, { type: "module" });
  const line = URL.createObjectURL(new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" }));
  try {
    return new Worker(line, { type: "module" });
  } finally {
    setTimeout(() => URL.revokeObjectURL(line), 60000);
  }
}
