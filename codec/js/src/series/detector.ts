// A detector of series that scores row by row, as `aez score --causal` does.

import type { PackedModel } from "../bundle/bundle.js";
import { Bundle } from "../bundle/bundle.js";
import { modelBytes } from "../bundle/package.js";
import { sha256 } from "../bundle/sha256.js";
import { bytesOf, type Input } from "../container/source.js";
import { InvalidArgument, ModelError } from "../errors.js";
import { metadataOf, Program } from "../interpret/program.js";
import { floats } from "../interpret/shapes.js";
import type { Tensor } from "../network/graph.js";
import { decodeBase64 } from "../network/kernels.js";
import { type Event, type EventRule, EventTracker, type EventUpdate } from "./events.js";

/** A reading: a number; a word of a channel that holds text; nothing where it is missing. */
export type Reading = number | string | null | undefined;
/** A row: readings in the order of the channels, or by name; a channel that is not named is missing. */
export type Row = ArrayLike<Reading> | ReadonlyMap<string, Reading> | Readonly<Record<string, Reading>>;

/** What a row gave. In thresholds: above 1 is abnormal. */
export interface Scored {
  row: number;
  /** NaN before the first whole window. */
  score: number;
  /** [channels], what each adds; NaN before the first whole window. */
  channelScore: Float32Array;
  /** [channels], the row as the model expects it, in the sensors' units; NaN before the first whole window. */
  reconstruction: Float32Array;
  /** What the row changed. */
  updates: EventUpdate[];
  /** The event that is open. */
  event: Event | null;
}

const ZIP = 0x04034b50;
const PROBE_TOLERANCE = 1e-3;
const TASK = "detector";

/** Throws ModelError for a model that is no detector of series, is damaged, or scores its probe differently here. */
export class Detector {
  readonly name: string;
  /** 64 hex digits; of a graph alone none. */
  readonly id: string | null;
  /** Rows of a window. */
  readonly window: number;
  readonly channels: readonly string[];
  readonly units: readonly string[];
  /** Lowest and highest of each channel in training. */
  readonly ranges: readonly [number, number][];
  /** Of channels that hold text their words, the last one for all that is unknown. */
  readonly words: Readonly<Record<string, string[]>>;
  /** Seconds between rows, where they are known. */
  readonly period: number | null;
  /** The score above which a row is loud. */
  readonly limit = 1;
  readonly rule: EventRule;
  /** What the graph can take beside the window: `phase`, `level`, `centre`, `width`. */
  readonly beside: readonly string[];
  private readonly program: Program;
  private readonly shapes: Record<string, number[]>;
  private tracker: EventTracker;
  private rows: Float32Array;
  private count = 0;

  /** `model` is an `.aezm` bundle, or the graph `detector.onnx` of `aez models export`. */
  constructor(model: ArrayBuffer | ArrayBufferView) {
    const bytes = bytesOf(model);
    const zipped = bytes.length > 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === ZIP;
    const bundle = zipped ? new Bundle(sha256, bytes, TASK) : null;
    const graph = bundle ? bundle.graph("detector") : bytes;
    const about = metadataOf(graph);
    const says = <T>(name: string, usual?: T): T => {
      const text = about.get(name);
      if (text === undefined && usual !== undefined) return usual;
      try {
        return JSON.parse(text ?? "") as T;
      } catch (error) {
        throw new ModelError(`the model does not say its ${name}: it is no detector of series`, { cause: error });
      }
    };
    this.name = bundle?.name ?? "detector.onnx";
    this.id = bundle?.id ?? null;
    this.window = says("window");
    this.channels = says("channels");
    this.units = says("units", []);
    this.ranges = says("ranges", []);
    this.words = says("words", {});
    this.period = says<number | null>("period_seconds", null);
    this.rule = says("event_rule");
    this.program = new Program(graph);
    this.beside = [...this.program.inputs, ...this.program.optional].filter((name) => name !== "window");
    this.shapes = { window: [this.window, this.channels.length] };
    this.rows = new Float32Array(this.window * this.channels.length).fill(Number.NaN);
    this.tracker = new EventTracker(this.rule, this.channels);
    this.checkProbe(about, says("probe_score"), says("probe_shape"));
  }

  /** As the constructor, of what has to be fetched or inflated: a `Response`, a `Blob`, or a package of `aez-model`. */
  static async open(model: Input | PackedModel): Promise<Detector> {
    return new Detector(await modelBytes(model));
  }

  /**
   * Scores the window that ends with this row. `time` is any number; events keep that of their first and last row.
   * `beside` gives what the graph takes beside the window, each by its name; without it a row is held against all times.
   * Throws InvalidArgument for a row of another length.
   */
  push(row: Row, time: number | null = null, beside: Readonly<Record<string, ArrayLike<number>>> = {}): Scored {
    const width = this.channels.length;
    const values = this.valuesOf(row);
    this.rows.copyWithin(0, width);
    this.rows.set(values, this.rows.length - width);
    const number = this.count++;
    const none = () => new Float32Array(width).fill(Number.NaN);
    let found: Omit<Scored, "row" | "updates" | "event"> = {
      score: Number.NaN,
      channelScore: none(),
      reconstruction: none(),
    };
    if (this.count >= this.window) found = this.scored(beside);
    const updates = this.tracker.take(number, found.score, found.channelScore, time);
    return { row: number, ...found, updates, event: this.tracker.current };
  }

  /** Scores rows that follow those before. */
  score(rows: Iterable<Row>, times?: Iterable<number>): Scored[] {
    const clock = times?.[Symbol.iterator]();
    return Array.from(rows, (row) => this.push(row, clock?.next().value ?? null));
  }

  /** The rows end here; what is open is closed, `ongoing` where it goes on. The next row is the first of another series. */
  finish(): EventUpdate[] {
    const updates = this.tracker.finish();
    this.tracker = new EventTracker(this.rule, this.channels);
    this.rows.fill(Number.NaN);
    this.count = 0;
    return updates;
  }

  private scored(beside: Readonly<Record<string, ArrayLike<number>>>): Omit<Scored, "row" | "updates" | "event"> {
    const width = this.channels.length;
    const given: Record<string, Tensor> = { window: floats([1, this.window, width], this.rows) };
    for (const [name, values] of Object.entries(beside)) {
      const shape = this.shapes[name];
      const data = Float32Array.from(values);
      if (!shape || data.length !== shape.reduce((product, length) => product * length, 1)) {
        throw new InvalidArgument(`model ${this.name} takes no ${data.length} numbers of ${name}`);
      }
      given[name] = floats([1, ...shape], data);
    }
    const { score, channel_score, reconstruction } = this.program.run(given) as Record<string, Tensor>;
    return {
      score: score?.data[0] ?? Number.NaN,
      channelScore: new Float32Array(channel_score?.data ?? []),
      reconstruction: new Float32Array(reconstruction?.data.subarray(-width) ?? []),
    };
  }

  private valuesOf(row: Row): Float32Array {
    const { channels } = this;
    let read: (at: number) => Reading;
    if (row instanceof Map) read = (at) => row.get(channels[at] as string);
    else if ("length" in row && typeof row.length === "number") {
      if (row.length !== channels.length) {
        throw new InvalidArgument(`a row of model ${this.name} has ${channels.length} readings, not ${row.length}`);
      }
      read = (at) => (row as ArrayLike<Reading>)[at];
    } else read = (at) => (row as Record<string, Reading>)[channels[at] as string];
    return Float32Array.from(channels, (name, at) => {
      const value = this.number(name, read(at));
      return Number.isFinite(Math.fround(value)) ? value : Number.NaN;
    });
  }

  /** A reading as the model takes it; a text that is no number, in a channel of numbers, is missing. */
  private number(channel: string, reading: Reading): number {
    if (typeof reading === "number") return reading;
    if (reading === null || reading === undefined || reading.trim() === "") return Number.NaN;
    const known = this.words[channel];
    if (!known) return Number(reading);
    const place = known.indexOf(reading);
    return place < 0 ? known.length - 1 : place;
  }

  /** What computes something else would make the threshold worthless. */
  private checkProbe(about: Map<string, string>, expected: number[], windows: number[]): void {
    const given: Record<string, Tensor> = {};
    for (const name of ["window", ...this.beside]) {
      const packed = about.get(`probe_${name}`);
      if (packed === undefined) throw new ModelError(`the model has no probe of its input ${name}`);
      const values = probeOf(packed, name);
      const count = values.length / (windows[0] as number);
      const shape = name === "window" ? windows.slice(1) : this.shapeBeside(name, count);
      this.shapes[name] = shape;
      given[name] = floats([windows[0] as number, ...shape], values);
    }
    const found = this.program.run(given, ["score"]).score?.data ?? [];
    const near = expected.every((score, at) => {
      const away = Math.abs((found[at] as number) - score);
      return away <= PROBE_TOLERANCE * Math.abs(score) + 1e-6;
    });
    if (!near || found.length !== expected.length) {
      throw new ModelError(
        `model ${this.name} scores its probe ${[...found].join(", ")} here instead of ${expected.join(", ")}; ` +
          "its threshold would mean nothing",
      );
    }
  }

  /** The shape of an input without the batch: one number a channel, or seasons for each row of the window. */
  private shapeBeside(name: string, count: number): number[] {
    return name === "phase" ? [this.window, count / this.window] : [count];
  }
}

function probeOf(packed: string, name: string): Float32Array {
  try {
    return new Float32Array(decodeBase64(packed).buffer);
  } catch (error) {
    throw new ModelError(`the model's probe of its input ${name} is damaged`, { cause: error });
  }
}
