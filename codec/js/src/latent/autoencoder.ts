// An autoencoder of small pictures or vectors, both ways.

import type { PackedModel } from "../bundle/bundle.js";
import { Bundle } from "../bundle/bundle.js";
import type { JsonObject } from "../bundle/json.js";
import { modelBytes } from "../bundle/package.js";
import { sha256 } from "../bundle/sha256.js";
import { bytesOf, type Input } from "../container/source.js";
import { InvalidArgument, ModelError } from "../errors.js";
import { Program } from "../interpret/program.js";
import { floats } from "../interpret/shapes.js";

const TASK = "autoencoder";

/** Throws ModelError for a bundle that is no autoencoder, is damaged, or has operators that are not here. */
export class Autoencoder {
  readonly name: string;
  readonly id: string;
  readonly family: string;
  readonly kind: "pictures" | "vectors";
  /** Of an item: [height, width], [height, width, 3] or [numbers]. */
  readonly shape: readonly number[];
  /** Of pictures: [0, 255] or [0, 1]. */
  readonly range: readonly [number, number] | null;
  /** Names of a vector's numbers, or none. */
  readonly columns: readonly string[];
  /** Numbers of a code. */
  readonly dimensions: number;
  /** Whether codes can be drawn from N(0, 1). */
  readonly hasPrior: boolean;
  private readonly bundle: Bundle;
  private readonly programs = new Map<string, Program>();

  /** `model` is an `.aezm` bundle, or its decoding half. */
  constructor(model: ArrayBuffer | ArrayBufferView) {
    this.bundle = new Bundle(sha256, bytesOf(model), TASK);
    const coding = this.bundle.coding as JsonObject & {
      kind: "pictures" | "vectors";
      shape: number[];
      range: [number, number] | null;
      columns: string[];
      dimensions: number;
      prior: JsonObject | null;
    };
    this.name = this.bundle.name;
    this.id = this.bundle.id;
    this.family = this.bundle.family;
    ({ kind: this.kind, shape: this.shape, range: this.range, columns: this.columns } = coding);
    this.dimensions = coding.dimensions;
    this.hasPrior = coding.prior !== null;
    const sound = Array.isArray(this.shape) && this.shape.every((length) => Number.isInteger(length) && length > 0);
    if (!sound || !(Number.isInteger(this.dimensions) && this.dimensions > 0)) {
      throw new ModelError(`model ${this.name} does not say what it codes`);
    }
    this.decode(new Float32Array(this.dimensions)); // names at once what is not here
  }

  /** As the constructor, of what has to be fetched or inflated. */
  static async open(model: Input | PackedModel): Promise<Autoencoder> {
    return new Autoencoder(await modelBytes(model));
  }

  /** An item in the data's own units, of a code. Throws InvalidArgument for one of another length. */
  decode(code: ArrayLike<number>): Float32Array {
    return this.run("decoder", "z", [this.dimensions], code, "x");
  }

  /** The code of an item in the data's own units. Throws InvalidArgument; ModelError for a decoding half. */
  encode(item: ArrayLike<number>): Float32Array {
    return this.run("encoder", "x", this.shape, item, "mean");
  }

  /** An item of a picture as RGBA, or as `put` where there is room already. */
  rgba(item: ArrayLike<number>, put?: Uint8ClampedArray<ArrayBuffer>): Uint8ClampedArray<ArrayBuffer> {
    const [height = 1, width = 1, colours = 1] = this.shape;
    const out = put ?? new Uint8ClampedArray(4 * height * width);
    const scale = 255 / (this.range?.[1] ?? 255);
    for (let at = 0; at < height * width; at++) {
      for (let colour = 0; colour < 3; colour++) {
        out[4 * at + colour] = scale * (item[at * colours + (colours === 3 ? colour : 0)] as number);
      }
      out[4 * at + 3] = 255;
    }
    return out;
  }

  private run(
    name: string,
    takes: string,
    shape: readonly number[],
    given: ArrayLike<number>,
    gives: string,
  ): Float32Array {
    const data = Float32Array.from(given);
    if (data.length !== shape.reduce((product, length) => product * length, 1)) {
      throw new InvalidArgument(`the ${name} of model ${this.name} takes [${shape}] numbers, not ${data.length}`);
    }
    let program = this.programs.get(name);
    if (!program) {
      program = new Program(this.bundle.graph(name));
      this.programs.set(name, program);
    }
    const found = program.run({ [takes]: floats([1, ...shape], data) }, [gives])[gives];
    return new Float32Array(found?.data ?? []);
  }
}
