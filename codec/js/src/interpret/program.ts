// A graph that is run operator by operator, in plain JavaScript: for networks too small to be worth kernels.
import { ModelError } from "../errors.js";
import { fold } from "../network/fold.js";
import { type Graph, type Node, parseGraph, type Tensor } from "../network/graph.js";
import { fields, message, text } from "../network/protobuf.js";
import { convolution, transposedConvolution } from "./convolutions.js";
import { ELEMENTWISE } from "./elementwise.js";
import { dynamicQuantize, gemm, matMul, matMulInteger } from "./products.js";
import { lstm } from "./recurrent.js";
import { gatherNd, type Inputs, need, slice, wholes } from "./shapes.js";

const METADATA = 14; // of onnx.proto

const OPERATORS: Record<string, (node: Node, inputs: Inputs) => Tensor | Tensor[]> = {
  ...ELEMENTWISE,
  Conv: convolution,
  ConvTranspose: transposedConvolution,
  DynamicQuantizeLinear: dynamicQuantize,
  Flatten: (node, inputs) => {
    const { shape, data } = need(inputs, 0, node);
    const rows = shape[0] ?? 1;
    return { shape: [rows, data.length / rows], data };
  },
  GatherND: gatherNd,
  Gemm: gemm,
  LSTM: lstm,
  MatMul: matMul,
  MatMulInteger: matMulInteger,
  Slice: slice,
  Shape: (node, inputs) => {
    const { shape } = need(inputs, 0, node);
    return wholes([shape.length], Float64Array.from(shape));
  },
};

/** A graph with its constants. Arrays are float32, or whole numbers and truths in a Float64Array. */
export class Program {
  /** Inputs that have to be given. */
  readonly inputs: readonly string[];
  /** Inputs that may be left out. */
  readonly optional: readonly string[];
  readonly outputs: readonly string[];
  private readonly graph: Graph;

  /** Throws ModelError for a graph that cannot be read. */
  constructor(data: Uint8Array) {
    this.graph = parseGraph(data);
    ({ inputs: this.inputs, optional: this.optional, outputs: this.outputs } = this.graph);
    this.foldConstants();
  }

  /** The outputs that are wanted, all by default. Throws ModelError, which names an operator that is not here. */
  run(given: Record<string, Tensor>, wanted: readonly string[] = this.outputs): Record<string, Tensor> {
    const known = new Map(this.graph.constants);
    for (const [name, tensor] of Object.entries(given)) known.set(name, tensor);
    const missing = this.inputs.filter((name) => !known.has(name));
    if (missing.length) throw new ModelError(`the graph takes ${missing.join(", ")}, too`);
    for (const node of this.needed(wanted)) this.step(node, known);
    return Object.fromEntries(wanted.map((name) => [name, this.found(known, name)]));
  }

  private step(node: Node, known: Map<string, Tensor>): void {
    const inputs = node.inputs.map((name) => (name ? this.found(known, name) : undefined));
    const made = (OPERATORS[node.operator] ?? fold)(node, inputs);
    (Array.isArray(made) ? made : [made]).forEach((tensor, place) => {
      const name = node.outputs[place];
      if (name) known.set(name, tensor);
    });
  }

  private found(known: Map<string, Tensor>, name: string): Tensor {
    const tensor = known.get(name);
    if (!tensor) throw new ModelError(`the graph has nothing that makes ${name}`);
    return tensor;
  }

  /** The nodes that the wanted outputs hang on, in order. */
  private needed(wanted: readonly string[]): Node[] {
    const names = new Set(wanted);
    const chosen: Node[] = [];
    for (let at = this.graph.nodes.length - 1; at >= 0; at--) {
      const node = this.graph.nodes[at] as Node;
      if (!node.outputs.some((name) => names.has(name))) continue;
      chosen.push(node);
      for (const name of node.inputs) names.add(name);
    }
    return chosen.reverse();
  }

  private foldConstants(): void {
    const { constants } = this.graph;
    const free = new Set(this.optional);
    this.graph.nodes = this.graph.nodes.filter((node) => {
      if (!node.inputs.length || !node.inputs.every((name) => !name || (constants.has(name) && !free.has(name))))
        return true;
      this.step(node, constants);
      return false;
    });
  }
}

/** What a model says of itself, by name. Throws ModelError. */
export function metadataOf(data: Uint8Array): Map<string, string> {
  const found = new Map<string, string>();
  for (const field of fields(data)) {
    if (field.number !== METADATA) continue;
    const entry = [...fields(message(field))];
    const part = (number: number) => {
      const one = entry.find((field) => field.number === number);
      return one ? text(one) : "";
    };
    found.set(part(1), part(2));
  }
  return found;
}
