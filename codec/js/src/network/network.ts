// A graph that runs: read once, planned for each level and size, its weights packed once.
import { ModelError } from "../errors.js";
import { fold } from "./fold.js";
import { type Graph, parseGraph, type Tensor } from "./graph.js";
import type { Kernels, Pointer } from "./kernels.js";
import { plan } from "./planner.js";
import { type Plan, runPlan } from "./runner.js";

const PLANS_MAX = 4;

/** A graph of a bundle. Arrays are float32, of a batch of one, in the kernels' memory. */
export class Network {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly #graph: Graph;
  readonly #plans = new Map<string, Plan>();
  readonly #packed = new Map<Tensor["data"], Pointer>();

  constructor(
    private readonly kernels: Kernels,
    data: Uint8Array,
    readonly name: string,
  ) {
    this.#graph = parseGraph(data);
    this.inputs = this.#graph.inputs;
    this.outputs = this.#graph.outputs;
    this.#foldConstants();
  }

  /**
   * Fills `outputs`, by the graph's own order, from `inputs` with their shapes without the batch; `level` where the
   * graph takes it. Throws ModelError where the outputs have other shapes than `expected`.
   */
  run(
    inputs: Record<string, { at: Pointer; shape: readonly number[] }>,
    level: number,
    outputs: Record<string, { at: Pointer; shape: readonly number[] }>,
  ): void {
    const found = this.#planFor(inputs, level);
    this.outputs.forEach((name, number) => {
      const expected = outputs[name];
      const shape = found.outputs[number] as readonly number[];
      if (!expected || shape.join() !== [1, ...expected.shape].join()) {
        throw new ModelError(`the ${this.name} graph gives ${name} of shape [${shape}], not [1,${expected?.shape}]`);
      }
    });
    const pointers = (names: readonly string[], from: typeof inputs) => names.map((name) => from[name]?.at ?? 0);
    runPlan(this.kernels, found, pointers(this.inputs, inputs), pointers(this.outputs, outputs));
  }

  #planFor(inputs: Record<string, { shape: readonly number[] }>, level: number): Plan {
    const shapes = this.inputs.map((name) => (name === "level" ? null : inputs[name]?.shape));
    if (shapes.includes(undefined)) throw new ModelError(`the ${this.name} graph takes ${this.inputs.join(", ")}`);
    const key = `${level} ${shapes.join(" ")}`;
    let found = this.#plans.get(key);
    if (!found) {
      const batched = shapes.map((shape) => (shape ? [1, ...shape] : null));
      found = this.kernels.keeping(() => plan(this.kernels, this.#graph, batched, level, this.#packed));
    }
    this.#plans.delete(key);
    this.#plans.set(key, found);
    for (const [oldest, plan] of this.#plans) {
      if (this.#plans.size <= PLANS_MAX) break;
      for (const pointer of plan.fixed) this.kernels.release(pointer);
      this.#plans.delete(oldest);
    }
    return found;
  }

  /** Nodes that hang on nothing but constants become constants. */
  #foldConstants(): void {
    const { constants } = this.#graph;
    this.#graph.nodes = this.#graph.nodes.filter((node) => {
      if (node.operator === "Split" || node.outputs.length !== 1) return true;
      if (!node.inputs.every((name) => !name || constants.has(name))) return true;
      const inputs = node.inputs.map((name) => constants.get(name));
      constants.set(node.outputs[0] as string, fold(node, inputs));
      return false;
    });
  }
}
