// From a graph to steps: what is known before is worked out here, what follows a convolution joins it.
import { ModelError } from "../errors.js";
import { broadcast, fold, size } from "./fold.js";
import { type Graph, type Node, type Tensor, unsupported } from "./graph.js";
import type { Kernels, Pointer } from "./kernels.js";
import { LAYOUT, layout } from "./layout.js";
import type { Plan } from "./runner.js";
import {
  type Element,
  ElementKind,
  panelSize,
  type Root,
  readBy,
  type Step,
  type Value,
  WITH_CHANNEL,
  WITH_EACH,
  WITH_ONE,
} from "./steps.js";
import { packBias, packWeights, windowOf } from "./weights.js";

const FUNCTIONS: Record<string, (x: number) => number> = {
  Log: Math.log,
  Exp: Math.exp,
  // Halves go to the even number.
  Round: (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)),
};
const UNARY = ["LeakyRelu", "Floor", "Clip", "Abs"];
const BINARY = ["Mul", "Add", "Sub", "Div"];

/** The plan of a graph for inputs of these shapes, null for the level. Throws ModelError for what is not supported. */
export function plan(
  kernels: Kernels,
  graph: Graph,
  shapes: (readonly number[] | null)[],
  level: number,
  packed: Map<Tensor["data"], Pointer>,
): Plan {
  return new Planner(kernels, graph, packed).plan(shapes, level);
}

/** One walk through a graph. */
export class Planner {
  readonly steps: Step[] = [];
  readonly fixed: Pointer[] = [];
  readonly #known = new Map<string, Tensor>();
  readonly #values = new Map<string, Value>();
  #uses = new Map<string, number>();

  constructor(
    readonly kernels: Kernels,
    private readonly graph: Graph,
    private readonly packed: Map<Tensor["data"], Pointer>,
  ) {}

  plan(shapes: (readonly number[] | null)[], level: number): Plan {
    this.graph.inputs.forEach((name, number) => {
      const shape = shapes[number];
      if (!shape) this.#known.set(name, { shape: [1], data: Float32Array.of(level) });
      else {
        const root: Root = { kind: "input", size: size(shape), at: number, made: -1, last: -1 };
        this.#values.set(name, { shape, root, offset: 0, step: null, padding: 0 });
      }
    });
    this.#countUses();
    for (const node of this.graph.nodes) this.#add(node);
    const outputs = this.graph.outputs.map((name, number) => this.#asOutput(name, number));
    return { steps: this.steps, fixed: this.fixed, outputs, ...this.#arrange() };
  }

  /** The value that is known before, of a name. */
  constant(name: string | undefined): Tensor | undefined {
    return name ? (this.#known.get(name) ?? this.graph.constants.get(name)) : undefined;
  }

  /** The array of a name, which may be one that is known before. */
  value(name: string | undefined): Value {
    const found = name ? this.#values.get(name) : undefined;
    if (found) return found;
    const tensor = this.constant(name);
    if (!tensor) throw new ModelError(`a graph uses ${name}, which is not there`);
    return this.#fix(tensor);
  }

  /** What an array in memory is called that only one later node reads. */
  #isRead(name: string, times: number): boolean {
    return (this.#uses.get(name) ?? 0) === times;
  }

  #fix(tensor: Tensor): Value {
    const at = this.kernels.put(new Float32Array(tensor.data));
    this.fixed.push(at);
    const root: Root = { kind: "fixed", size: tensor.data.length, at, made: -1, last: -1 };
    return { shape: tensor.shape, root, offset: 0, step: null, padding: 0 };
  }

  /** How often each array is read by what the outputs need. */
  #countUses(): void {
    const needed = new Set(this.graph.outputs);
    for (const name of needed) this.#uses.set(name, 1);
    for (const node of [...this.graph.nodes].reverse()) {
      if (!node.outputs.some((name) => needed.has(name)) || node.operator === "Shape") continue;
      for (const name of node.inputs) {
        needed.add(name);
        this.#uses.set(name, (this.#uses.get(name) ?? 0) + 1);
      }
    }
  }

  #add(node: Node): void {
    const out = node.outputs[0] as string;
    const inputs = node.inputs.map((name) => this.constant(name));
    if (node.operator === "Shape") {
      const shape = this.constant(node.inputs[0])?.shape ?? this.value(node.inputs[0]).shape;
      const { start = 0, end = shape.length } = node.attributes as { start?: number; end?: number };
      const listed = shape.slice(start, end);
      this.#known.set(out, { shape: [listed.length], data: Float64Array.from(listed) });
    } else if (node.inputs.every((name, at) => !name || inputs[at]) && node.outputs.length === 1) {
      this.#known.set(out, fold(node, inputs));
    } else if (LAYOUT.includes(node.operator)) {
      layout(this, node).forEach((value, at) => void this.#values.set(node.outputs[at] as string, value));
    } else if (UNARY.includes(node.operator)) {
      this.#values.set(out, this.#elementwise(node.inputs[0] as string, [this.#unary(node, inputs)]));
    } else if (BINARY.includes(node.operator)) {
      this.#values.set(out, this.#binary(node));
    } else if (node.operator === "Conv" || node.operator === "ConvTranspose") {
      this.#values.set(out, this.#convolution(node));
    } else if (node.operator in FUNCTIONS) {
      const x = this.value(node.inputs[0]);
      const apply = FUNCTIONS[node.operator] as (x: number) => number;
      this.#values.set(out, this.push({ kind: "function", x, apply, elements: [], ...this.made(x.shape) }));
    } else {
      throw unsupported(node);
    }
  }

  /** A new array for the result of a step. */
  made(shape: readonly number[]): { out: Root; shape: readonly number[] } {
    return {
      shape,
      out: { kind: "arena", size: size(shape), at: 0, made: this.steps.length, last: this.steps.length },
    };
  }

  push(step: Step): Value {
    if (readBy(step).some(({ padding }) => padding) && step.kind !== "convolution") {
      throw new ModelError("padding is supported before convolutions alone");
    }
    this.steps.push(step);
    const joins = step.kind === "convolution" || step.kind === "elementwise";
    return { shape: step.shape, root: step.out, offset: 0, step: joins ? step : null, padding: 0 };
  }

  #unary(node: Node, inputs: (Tensor | undefined)[]): Element {
    const kind = ElementKind[node.operator as "LeakyRelu" | "Floor" | "Clip" | "Abs"];
    const slope = Number(node.attributes.alpha ?? 0.01);
    const clip = node.operator === "Clip";
    const a = clip ? (inputs[1]?.data[0] ?? -Infinity) : slope;
    return { kind, a, b: inputs[2]?.data[0] ?? Infinity, values: null };
  }

  /** More work on an array: joined to the step that made it, where nothing else reads it. */
  #elementwise(name: string, elements: Element[]): Value {
    const x = this.value(name);
    const before = this.steps.indexOf(x.step as Step);
    const here = elements.every(({ values }) => !values || values.root.made < before);
    if (x.step && here && this.#isRead(name, 1)) {
      x.step.elements.push(...elements);
      return x;
    }
    return this.push({ kind: "elementwise", x, elements: [...elements], ...this.made(x.shape) });
  }

  #binary(node: Node): Value {
    const [left, right] = node.inputs as [string, string];
    const [a, b] = [this.constant(left), this.constant(right)];
    const negate: Element = { kind: ElementKind.Mul, a: -1, b: 0, values: null };
    if (b) {
      if (node.operator === "Sub") {
        const minus = { shape: b.shape, data: b.data.map((value) => -value) };
        return this.#elementwise(left, [this.#withTensor("Add", left, minus)]);
      }
      return this.#elementwise(left, [this.#withTensor(node.operator, left, b)]);
    }
    if (a) {
      if (node.operator === "Div") throw unsupported(node);
      const before = node.operator === "Sub" ? [negate] : [];
      const operator = node.operator === "Sub" ? "Add" : node.operator;
      return this.#elementwise(right, [...before, this.#withTensor(operator, right, a)]);
    }
    const [x, y] = [this.value(left), this.value(right)];
    if (x.shape.join() !== y.shape.join() || x.padding || y.padding) throw unsupported(node);
    const later = y.root.made > x.root.made;
    if (node.operator === "Sub") return this.#elementwise(right, [negate, this.#withValue("Add", x)]);
    if (later && node.operator !== "Div") return this.#elementwise(right, [this.#withValue(node.operator, x)]);
    return this.#elementwise(left, [this.#withValue(node.operator, y)]);
  }

  #withValue(operator: string, values: Value): Element {
    return { kind: ElementKind[operator as "Mul" | "Add" | "Div"] + WITH_EACH, a: 0, b: 0, values };
  }

  #withTensor(operator: string, name: string, tensor: Tensor): Element {
    const { shape } = this.value(name);
    const kind = ElementKind[operator as "Mul" | "Add" | "Div"];
    const count = tensor.data.length;
    if (count === 1) return { kind: kind + WITH_ONE, a: tensor.data[0] as number, b: 0, values: null };
    if (broadcast(tensor.shape, shape).join() !== shape.join()) throw unsupported({ operator });
    const axis = tensor.shape.length - shape.length + 1;
    if (tensor.shape[axis] === count && shape[1] === count) {
      return { kind: kind + WITH_CHANNEL, a: 0, b: 0, values: this.#fix(tensor) };
    }
    if (count !== size(shape)) throw unsupported({ operator });
    return { kind: kind + WITH_EACH, a: 0, b: 0, values: this.#fix(tensor) };
  }

  #convolution(node: Node): Value {
    const x = this.value(node.inputs[0]);
    const weights = this.constant(node.inputs[1]);
    const bias = this.constant(node.inputs[2]);
    if (!weights || (node.inputs[2] && !bias)) throw unsupported(node);
    const { window, shape, spread } = windowOf(node, x, weights);
    const keep = (tensor: Tensor, pack: () => Float32Array) => {
      const found = this.packed.get(tensor.data) ?? this.kernels.put(pack());
      this.packed.set(tensor.data, found);
      return found;
    };
    window.weights = keep(weights, () => packWeights(weights, window, node.operator === "ConvTranspose"));
    const biases = packBias(bias, window.channels, spread);
    window.bias = bias ? keep(bias, () => biases) : this.#fix({ shape: [biases.length], data: biases }).root.at;
    const made = this.push({ kind: "convolution", x: { ...x, padding: 0 }, window, elements: [], ...this.made(shape) });
    if (spread === 1) return made;
    const wider: Node = { ...node, operator: "DepthToSpace", attributes: { blocksize: spread, mode: "CRD" } };
    return layout(this, wider, made)[0] as Value;
  }

  /** The shape of an output, whose place is that of the caller. */
  #asOutput(name: string, number: number): readonly number[] {
    let value = this.value(name);
    const { root } = value;
    if (root.kind !== "arena" || value.offset || root.size !== size(value.shape)) {
      value = this.push({ kind: "elementwise", x: value, elements: [], ...this.made(value.shape) });
    }
    value.root.kind = "output";
    value.root.at = number;
    return value.shape;
  }

  /** Places in the arena, and how many numbers it has: arrays lie where no other is needed at the same time. */
  #arrange(): { arena: number; panel: number } {
    this.steps.forEach((step, number) => {
      for (const { root } of readBy(step)) root.last = Math.max(root.last, number);
    });
    const placed: Root[] = [];
    let arena = 0;
    for (const { out } of this.steps) {
      if (out.kind !== "arena") continue;
      const alive = placed.filter((root) => root.last >= out.made).sort((a, b) => a.at - b.at);
      let at = 0;
      for (const root of alive) {
        if (root.at - at >= out.size) break;
        at = Math.max(at, root.at + ((root.size + 3) & ~3));
      }
      out.at = at;
      arena = Math.max(arena, at + out.size);
      placed.push(out);
    }
    return { arena: (arena + 3) & ~3, panel: Math.max(0, ...this.steps.map(panelSize)) };
  }
}
