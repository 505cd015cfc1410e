// A pool of workers that decode.
import {
  type AezError,
  CorruptFile,
  type DecodeOptions,
  decode,
  type Header,
  type Input,
  InvalidArgument,
  info,
  internals,
  type Metadata,
  type Model,
  ModelError,
  type Picture,
  TruncatedFile,
  UnsupportedInput,
  VersionError,
} from "../index.js";
import { type Arriving, arriving } from "./arriving.js";
import { Member } from "./member.js";
import type { FromWorker, SentError, SentModels, SentOptions } from "./messages.js";
import { bands, Joined, placeOf, type Region } from "./split.js";

export interface PoolOptions {
  /** Workers at most; by default as many as there are cores, up to 4. */
  size?: number;
  /** Milliseconds after which a worker without work ends. */
  idle?: number;
  /** Where `thread.js` of this package lies, for bundlers that do not find it by themselves. */
  workerUrl?: string | URL;
}

const SIZE_MAX = 4;
const IDLE = 10000;
const ERRORS = { CorruptFile, InvalidArgument, ModelError, TruncatedFile, UnsupportedInput, VersionError };

/** A part of a picture that waits for a worker or is with one. */
interface Task {
  run(member: Member): void;
  /** There are no workers. */
  fail(reason: string): void;
}

type Done = FromWorker & { type: "done" };

/** Workers that begin when they are needed, and end when they are not. */
export class Pool {
  private readonly size: number;
  private readonly idle: number;
  private readonly url: URL | null;
  private readonly members: Member[] = [];
  private readonly queue: Task[] = [];
  private readonly numbers = new WeakMap<object, number>();
  private models = 0;
  private jobs = 0;
  private closed = false;
  /** Whether workers cannot begin here: then pictures are decoded where they are asked for. */
  private without = false;

  /** Throws InvalidArgument. */
  constructor(options: PoolOptions = {}) {
    internals.checkOptions(options);
    const { size, idle = IDLE, workerUrl } = options;
    const cores = (globalThis.navigator as Navigator | undefined)?.hardwareConcurrency ?? SIZE_MAX;
    this.size = size ?? Math.max(1, Math.min(cores, SIZE_MAX));
    if (!Number.isInteger(this.size) || this.size < 1 || !(idle >= 0)) {
      throw new InvalidArgument(`a pool of ${size} workers that rest for ${idle} ms cannot be`);
    }
    this.idle = idle;
    this.url = workerUrl === undefined ? null : new URL(workerUrl, globalThis.location?.href ?? import.meta.url);
  }

  /**
   * The picture of a file, as `decode` gives it, made in workers. Where workers are not allowed, or with a `runtime`, it
   * is made here. Bytes stay as they are; the pixels come without a copy. Its errors are AezError, or the signal's reason.
   */
  async decode(input: Input, options: DecodeOptions = {}): Promise<Picture> {
    internals.checkOptions(options);
    if (this.closed) throw new InvalidArgument("the pool is closed");
    if (this.without || options.runtime) return await decode(input, options);
    const file = await arriving(input, options.signal, options.onTile !== undefined);
    const header = headOf(file.start);
    const region = header && regionOf(header, options);
    const parts = header && region && file.whole ? bands(header, region, this.size) : [];
    if (parts.length < 2 || !header || !region) {
      return pictureOf(await this.task(file, options, header, options.region));
    }
    return await this.inBands(file, options, header, region, parts);
  }

  /** Ends all workers; what they do fails. */
  close(): void {
    this.closed = true;
    for (const task of this.queue.splice(0)) task.fail("the pool was closed");
    for (const member of this.members.splice(0)) {
      member.listener?.broken("the pool was closed");
      member.end();
    }
  }

  private async inBands(
    file: Arriving,
    options: DecodeOptions,
    header: Header,
    region: Region,
    parts: readonly Region[],
  ): Promise<Picture> {
    const { scale = 1, stored = false, onTile, onHeader } = options;
    const ended = new AbortController();
    const stop = () => ended.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", stop);
    const across = (length: number) => Math.ceil(length / scale);
    const turned = !stored && header.orientation > 4;
    const [width, height] = turned ? [across(region[3]), across(region[2])] : [across(region[2]), across(region[3])];
    const [colours, alpha] = [new Joined(width, height), new Joined(width, height)];
    let metadata: Metadata | null = null;
    onHeader?.(header);
    try {
      await Promise.all(
        parts.map(async (part) => {
          const [x, y] = placeOf(header, region, part, scale, stored);
          const own: DecodeOptions = { ...options, signal: ended.signal };
          delete own.onHeader;
          if (onTile) own.onTile = (tile, head) => onTile({ ...tile, x: tile.x + x, y: tile.y + y }, head);
          const done = await this.task(file, own, header, part);
          colours.put(done.colours, [x, y]);
          if (done.alpha) alpha.put(done.alpha, [x, y]);
          metadata = done.metadata;
        }),
      );
    } catch (error) {
      ended.abort(error);
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", stop);
    }
    return await internals.pictureOf(header, colours.samples as never, alpha.samples, metadata as unknown as Metadata);
  }

  /** What a worker gives for a file or a region of it; where there are no workers, what is made here. */
  private task(
    file: Arriving,
    options: DecodeOptions,
    header: Header | null,
    region: DecodeOptions["region"],
  ): Promise<Done> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const job = this.jobs++;
    return new Promise<Done>((resolve, reject) => {
      let member: Member | null = null;
      const abort = () => {
        reject(signal?.reason);
        const at = this.queue.indexOf(task);
        if (at >= 0) this.queue.splice(at, 1);
        member?.tell({ type: "abort", job });
        file.close();
      };
      let ended = false;
      const over = () => {
        ended = true;
        signal?.removeEventListener("abort", abort);
        if (member) this.rest(member);
      };
      const task: Task = {
        run: (found) => {
          member = found;
          found.begin({
            message: (message) => {
              if (!("job" in message) || message.job !== job) return;
              if (message.type === "done" || message.type === "failed") over();
              if (message.type === "done") resolve(message);
              else if (message.type === "failed") reject(errorOf(message.error));
              else if (!signal?.aborted) this.heard(message, found, job, options, reject);
            },
            broken: (reason) => {
              member = null;
              if (found.ready || this.closed) reject(new UnsupportedInput(`a worker ended: ${reason}`));
              else task.fail(reason);
            },
          });
          this.send(found, job, file, options, header, region).catch((error) => {
            reject(sendError(error));
            if (ended) return;
            // Whatever the worker has of this is over, and others get their turn.
            found.tell({ type: "abort", job });
            found.tell({ type: "chunk", job, bytes: null });
            over();
          });
        },
        fail: (reason) => {
          signal?.removeEventListener("abort", abort);
          if (this.closed) reject(new UnsupportedInput(reason));
          else here(file, options, region).then(resolve, reject);
        },
      };
      signal?.addEventListener("abort", abort);
      this.queue.push(task);
      this.advance();
    });
  }

  private async send(
    member: Member,
    job: number,
    file: Arriving,
    { model, scale, maxPixels, stored, onTile }: DecodeOptions,
    header: Header | null,
    region: DecodeOptions["region"],
  ): Promise<void> {
    const sent: SentOptions = {};
    if (region) sent.region = region;
    if (scale !== undefined) sent.scale = scale;
    if (maxPixels !== undefined) sent.maxPixels = maxPixels;
    if (stored !== undefined) sent.stored = stored;
    let models: SentModels = { kind: "none" };
    if (typeof model === "function") models = { kind: "ask" };
    else if (model !== undefined) {
      const alone = model instanceof ArrayBuffer || ArrayBuffer.isView(model);
      const listed = Array.isArray(model) ? (model as Model[]) : [model as Model];
      const numbered = this.numbered(listed.map((one) => named(one, header)));
      member.give(numbered);
      models = { kind: alone ? "one" : "list", numbers: [...numbered.keys()] };
    }
    const tiles = onTile !== undefined;
    const bytes = file.whole ? file.start : null;
    member.tell({ type: "decode", job, bytes, options: sent, models, tiles });
    if (bytes) return;
    for await (const chunk of file.chunks()) {
      if (member.idle) break;
      member.tell({ type: "chunk", job, bytes: chunk });
    }
    if (!member.idle) member.tell({ type: "chunk", job, bytes: null });
  }

  private heard(
    message: FromWorker,
    member: Member,
    job: number,
    options: DecodeOptions,
    reject: (error: unknown) => void,
  ): void {
    try {
      if (message.type === "header") options.onHeader?.(message.header);
      else if (message.type === "tile") options.onTile?.(message.tile, message.header);
      else if (message.type === "wants") void this.answer(message.id, member, job, options, reject);
    } catch (error) {
      member.tell({ type: "abort", job });
      reject(error);
    }
  }

  /** A model that a worker wants of the caller's function. */
  private async answer(
    id: string,
    member: Member,
    job: number,
    { model }: DecodeOptions,
    reject: (error: unknown) => void,
  ): Promise<void> {
    try {
      const found = typeof model === "function" ? await model(id) : undefined;
      const numbered = this.numbered(found === undefined ? [] : [found]);
      member.give(numbered);
      member.tell({ type: "answer", job, numbers: [...numbered.keys()] });
    } catch (error) {
      reject(error);
      member.tell({ type: "abort", job });
      member.tell({ type: "answer", job, numbers: [] });
    }
  }

  private numbered(models: readonly Model[]): Map<number, Model> {
    return new Map(
      models.map((model) => {
        if (Object(model) !== model) throw new ModelError("a model is its bytes or a package");
        const number = this.numbers.get(model) ?? this.models++;
        this.numbers.set(model, number);
        return [number, model];
      }),
    );
  }

  /** Gives what waits to workers that have nothing to do. */
  private advance(): void {
    while (this.queue.length) {
      const member = this.members.find((one) => one.idle) ?? this.begin();
      if (!member) return;
      this.queue.shift()?.run(member);
    }
  }

  private begin(): Member | null {
    if (this.members.length >= this.size) return null;
    try {
      const member: Member = new Member(this.url, (reason) => {
        this.remove(member);
        if (!member.ready) this.giveUp(reason);
        else this.advance();
      });
      this.members.push(member);
      return member;
    } catch (error) {
      this.giveUp(String(error));
      return null;
    }
  }

  private giveUp(reason: string): void {
    if (!this.without) console.warn(`aez: no worker begins here (${reason}); pictures are decoded without`);
    this.without = true;
    for (const task of this.queue.splice(0)) task.fail(reason);
  }

  private rest(member: Member): void {
    member.rest(this.idle, () => this.remove(member));
    this.advance();
  }

  private remove(member: Member): void {
    const at = this.members.indexOf(member);
    if (at >= 0) this.members.splice(at, 1);
    member.end();
  }
}

/** Options that cannot be sent end in a DataCloneError. */
function sendError(error: unknown): unknown {
  if ((error as Error | undefined)?.name !== "DataCloneError") return error;
  return new InvalidArgument("an option is of a kind that no worker can be sent", { cause: error });
}

function headOf(bytes: Uint8Array): Header | null {
  try {
    return info(bytes);
  } catch {
    return null; // the worker says what is wrong
  }
}

/** The region that is asked for, or all; null where it is none, which the worker says. */
function regionOf({ width, height }: Header, { region, maxPixels = 2 ** 30 }: DecodeOptions): Region | null {
  if (!(width * height <= maxPixels)) return null;
  if (!region) return [0, 0, width, height];
  const [x, y, wide, high] = Array.from(region) as [number, number, number, number];
  const inside = Array.isArray(region) && region.every(Number.isInteger) && x >= 0 && y >= 0 && wide > 0 && high > 0;
  return inside && x + wide <= width && y + high <= height ? region : null;
}

/** Of a package of another model the name alone goes to the worker. */
function named(model: Model, header: Header | null): Model {
  const other = header && Object(model) === model && "packed" in model && !model.id.startsWith(header.model);
  return other ? { id: model.id, size: 0, packed: "" } : model;
}

async function here(file: Arriving, options: DecodeOptions, region: DecodeOptions["region"]): Promise<Done> {
  const own = { ...options };
  if (region) own.region = region;
  const { header, colours, alpha, metadata } = await decode(file.whole ? file.start : file.stream(), own);
  return { type: "done", job: -1, header, colours, alpha, metadata };
}

async function pictureOf({ header, colours, alpha, metadata }: Done): Promise<Picture> {
  return await internals.pictureOf(header, colours, alpha, metadata);
}

function errorOf({ name, message, chunk }: SentError): Error {
  if (name === "CorruptFile" || name === "TruncatedFile") return new ERRORS[name](message, chunk);
  const kind = ERRORS[name as keyof typeof ERRORS] as (new (message: string) => AezError) | undefined;
  return new (kind ?? Error)(message);
}
