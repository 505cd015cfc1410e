// ONNX Runtime as the caller has imported it: nothing of it is part of this package.
import type { Bundle } from "../bundle/bundle.js";
import { type Input, InvalidArgument, ModelError, type PackedModel, type Runtime, UnsupportedInput } from "../index.js";
import type { Kernels } from "../network/kernels.js";
import { OnnxImageModel } from "./model.js";
import { PictureDetector } from "./pictures.js";

/** An array of float32. */
export interface Numbers {
  shape: readonly number[];
  data: Float32Array;
}

interface OrtTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: unknown;
}

interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  // biome-ignore lint/suspicious/noExplicitAny: its own type of tensors, which is a class that is not known here
  run(feeds: any): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

/** What is used of the module `onnxruntime-web` or `onnxruntime-node`. */
export interface Ort {
  // biome-ignore lint/suspicious/noExplicitAny: options of sessions are passed on as they are
  InferenceSession: { create(model: Uint8Array, options?: any): Promise<OrtSession> };
  Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => OrtTensor;
}

/** A graph that runs. */
export interface Graph {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** All that it gives, by name. Throws InvalidArgument, UnsupportedInput, ModelError. */
  run(inputs: Readonly<Record<string, Numbers>>): Promise<Record<string, Numbers>>;
}

/**
 * Runs graphs by ONNX Runtime, one at a time. `options` are those of `ort.InferenceSession.create`, such as
 * `{ executionProviders: ["webgpu"] }`.
 */
export class OnnxRuntime implements Runtime {
  private readonly sessions: OrtSession[] = [];
  private readonly kept = new Map<string, Promise<Graph>>();
  private turn: Promise<unknown> = Promise.resolve();
  private closed = false;

  /** Throws InvalidArgument for what is not the module. */
  constructor(
    private readonly ort: Ort,
    private readonly options: Readonly<Record<string, unknown>> = {},
  ) {
    if (typeof ort?.InferenceSession?.create !== "function" || typeof ort.Tensor !== "function") {
      throw new InvalidArgument('give the module of ONNX Runtime: import * as ort from "onnxruntime-web"');
    }
  }

  /** The graph of an ONNX file, which messages call by a name. Throws ModelError, UnsupportedInput. */
  async graph(model: ArrayBuffer | ArrayBufferView, name = "given"): Promise<Graph> {
    const bytes = ArrayBuffer.isView(model)
      ? new Uint8Array(model.buffer, model.byteOffset, model.byteLength)
      : new Uint8Array(model);
    const session = await this.next(() => this.session(bytes, name));
    return {
      inputs: session.inputNames,
      outputs: session.outputNames,
      run: (inputs) => this.next(() => this.run(session, name, inputs)),
    };
  }

  /** The graph of a model by that key, which `make` opens the first time. */
  once(key: string, make: () => Promise<Graph>): Promise<Graph> {
    const found = this.kept.get(key) ?? make();
    this.kept.set(key, found);
    found.catch(() => this.kept.delete(key));
    return found;
  }

  /** A detector of pictures: a bundle of `aez train images`, what it is read from, or a package of one. Throws ModelError, UnsupportedInput. */
  pictureDetector(model: Input | PackedModel): Promise<PictureDetector> {
    return PictureDetector.open(this, model);
  }

  /** For `decode`: whole numbers stay with the package's kernels, real ones are this runtime's. */
  open(kernels: Kernels, bundle: Bundle): OnnxImageModel {
    return new OnnxImageModel(kernels, bundle, this);
  }

  /** Gives the memory of all graphs back; nothing runs afterwards. */
  async close(): Promise<void> {
    this.closed = true;
    await this.turn;
    await Promise.all(this.sessions.splice(0).map((session) => session.release()));
  }

  /** One after the other: some providers refuse to be asked while they are at work. */
  private next<T>(work: () => Promise<T>): Promise<T> {
    if (this.closed) return Promise.reject(new InvalidArgument("this runtime is closed"));
    const made = this.turn.then(work);
    this.turn = made.catch(() => undefined);
    return made;
  }

  private async session(bytes: Uint8Array, name: string): Promise<OrtSession> {
    try {
      const made = await this.ort.InferenceSession.create(bytes, { ...this.options });
      this.sessions.push(made);
      return made;
    } catch (error) {
      const said = messageOf(error);
      if (/no available backend/i.test(said)) {
        throw new UnsupportedInput(`ONNX Runtime does not start here: ${said}`, { cause: error });
      }
      throw new ModelError(`ONNX Runtime does not take the ${name} graph: ${said}`, { cause: error });
    }
  }

  private async run(session: OrtSession, name: string, inputs: Readonly<Record<string, Numbers>>) {
    const missing = session.inputNames.filter((input) => !inputs[input]);
    if (missing.length) throw new InvalidArgument(`the ${name} graph takes ${missing.join(", ")}, too`);
    let found: Record<string, OrtTensor>;
    try {
      const feeds = session.inputNames.map((input) => {
        const { data, shape } = inputs[input] as Numbers;
        return [input, new this.ort.Tensor("float32", data, shape)];
      });
      found = await session.run(Object.fromEntries(feeds));
    } catch (error) {
      throw new UnsupportedInput(`ONNX Runtime could not run the ${name} graph: ${messageOf(error)}`, { cause: error });
    }
    const arrays = session.outputNames.map((output) => {
      const { data, dims } = found[output] as OrtTensor;
      if (!(data instanceof Float32Array)) throw new ModelError(`the ${name} graph gives ${output} not as float32`);
      return [output, { shape: dims, data }] as const;
    });
    return Object.fromEntries(arrays) as Record<string, Numbers>;
  }
}

/** What ONNX Runtime says, in one line. */
function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/\s+/g, " ").trim().slice(0, 300);
}
