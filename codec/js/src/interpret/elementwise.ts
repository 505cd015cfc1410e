// Operators element by element, and those that bring axes down to one.
import { expanded, gathered, size, stridesOf } from "../network/fold.js";
import type { Node, Tensor } from "../network/graph.js";
import { attribute, axesOf, type Inputs, need, pairwise } from "./shapes.js";

type Operator = (node: Node, inputs: Inputs) => Tensor;

const FLOATING = new Set([1, 10, 11]);
const BOOLEAN = 9;

/** erf to 1e-12: its series near 0, a continued fraction far from it. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (!(a < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-13 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
      if (n > 60) break;
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = a;
  for (let n = 24; n > 0; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * fraction));
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const FUNCTIONS: Record<string, (x: number, node: Node) => number> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Cos: Math.cos,
  Erf: erf,
  Exp: Math.exp,
  Floor: Math.floor,
  Identity: (x) => x,
  LeakyRelu: (x, node) => (x < 0 ? attribute(node, "alpha", 0.01) * x : x),
  Log: Math.log,
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(x, 0),
  Sigmoid: sigmoid,
  Sign: Math.sign,
  Sin: Math.sin,
  Softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  Sqrt: Math.sqrt,
  Tanh: Math.tanh,
};

const TESTS: Record<string, (x: number) => boolean> = {
  IsNaN: Number.isNaN,
  Not: (x) => !x,
};

const PAIRS: Record<string, (a: number, b: number) => number> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Pow: (a, b) => a ** b,
  Max: (a, b) => Math.max(a, b),
  Min: (a, b) => Math.min(a, b),
};

const COMPARISONS: Record<string, (a: number, b: number) => boolean> = {
  Equal: (a, b) => a === b,
  Greater: (a, b) => a > b,
  GreaterOrEqual: (a, b) => a >= b,
  Less: (a, b) => a < b,
  LessOrEqual: (a, b) => a <= b,
  And: (a, b) => !!(a && b),
  Or: (a, b) => !!(a || b),
  Xor: (a, b) => !a !== !b,
};

/** How a reduction begins, takes an element, and ends. */
const REDUCTIONS: Record<string, [number, (sum: number, x: number) => number, (sum: number, count: number) => number]> =
  {
    ReduceMax: [-Infinity, (most, x) => Math.max(most, x), (most) => most],
    ReduceMin: [Infinity, (least, x) => Math.min(least, x), (least) => least],
    ReduceMean: [0, (sum, x) => sum + x, (sum, count) => sum / count],
    ReduceProd: [1, (product, x) => product * x, (product) => product],
    ReduceSum: [0, (sum, x) => sum + x, (sum) => sum],
    ReduceSumSquare: [0, (sum, x) => sum + x * x, (sum) => sum],
    ReduceL2: [0, (sum, x) => sum + x * x, (sum) => Math.sqrt(sum)],
  };

export const ELEMENTWISE: Record<string, Operator> = {
  Cast: (node, inputs) => {
    const { shape, data } = need(inputs, 0, node);
    const to = attribute(node, "to", 1);
    if (FLOATING.has(to)) return { shape, data: new Float32Array(data) };
    const change = to === BOOLEAN ? (x: number) => (x ? 1 : 0) : Math.trunc;
    return { shape, data: new Float64Array(data).map(change) };
  },
  Where: (node, inputs) => {
    const [condition, yes, no] = [0, 1, 2].map((place) => need(inputs, place, node)) as [Tensor, Tensor, Tensor];
    const chosen = pairwise(condition, yes, yes.data instanceof Float64Array, (_, y) => y);
    const out = pairwise(chosen, no, yes.data instanceof Float64Array, (y) => y);
    const other = expanded(no, out.shape).data;
    expanded(condition, out.shape).data.forEach((met, i) => {
      if (!met) out.data[i] = other[i] as number;
    });
    return out;
  },
  Softmax: (node, inputs) => {
    const x = need(inputs, 0, node);
    const axis = (attribute(node, "axis", -1) + x.shape.length) % x.shape.length;
    const along = (of: Tensor, name: string) => reduce({ ...node, operator: name, attributes: { axes: [axis] } }, [of]);
    const raised = pairwise(x, along(x, "ReduceMax"), false, (a, b) => Math.exp(a - b));
    return pairwise(raised, along(raised, "ReduceSum"), false, (a, b) => a / b);
  },
};

for (const [name, apply] of Object.entries(FUNCTIONS)) {
  ELEMENTWISE[name] = (node, inputs) => {
    const { shape, data } = need(inputs, 0, node);
    const out = data instanceof Float32Array ? new Float32Array(data.length) : new Float64Array(data.length);
    for (let i = 0; i < out.length; i++) out[i] = apply(data[i] as number, node);
    return { shape, data: out };
  };
}

for (const [name, holds] of Object.entries(TESTS)) {
  ELEMENTWISE[name] = (node, inputs) => {
    const { shape, data } = need(inputs, 0, node);
    return { shape, data: Float64Array.from(data, (x) => (holds(x) ? 1 : 0)) };
  };
}

for (const [name, apply] of Object.entries(PAIRS)) {
  ELEMENTWISE[name] = (node, inputs) => {
    const first = need(inputs, 0, node);
    const whole = first.data instanceof Float64Array;
    const exact = name === "Div" && whole ? (a: number, b: number) => Math.trunc(a / b) : apply;
    return inputs
      .slice(1)
      .reduce<Tensor>((sum, _, place) => pairwise(sum, need(inputs, place + 1, node), whole, exact), first);
  };
}

for (const [name, holds] of Object.entries(COMPARISONS)) {
  ELEMENTWISE[name] = (node, inputs) =>
    pairwise(need(inputs, 0, node), need(inputs, 1, node), true, (a, b) => (holds(a, b) ? 1 : 0));
}

for (const name of Object.keys(REDUCTIONS)) ELEMENTWISE[name] = reduce;

function reduce(node: Node, inputs: Inputs): Tensor {
  const x = need(inputs, 0, node);
  const [start, take, end] = REDUCTIONS[node.operator] as (typeof REDUCTIONS)[string];
  let axes = axesOf(node, inputs[1], x.shape.length);
  if (!axes.length && attribute(node, "noop_with_empty_axes", 0)) return x;
  if (!axes.length) axes = x.shape.map((_, axis) => axis);
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const strides = stridesOf(x.shape);
  const order = [...kept, ...axes];
  const sizes = order.map((axis) => x.shape[axis] as number);
  const sorted = gathered(
    x.data,
    sizes,
    order.map((axis) => strides[axis] as number),
  );
  const count = size(sizes.slice(kept.length));
  const total = size(sizes.slice(0, kept.length));
  const out = x.data instanceof Float32Array ? new Float32Array(total) : new Float64Array(total);
  for (let i = 0; i < total; i++) {
    let sum = start;
    for (let j = i * count; j < (i + 1) * count; j++) sum = take(sum, sorted[j] as number);
    out[i] = end(sum, count);
  }
  const keep = attribute(node, "keepdims", 1);
  const shape = keep ? x.shape.map((length, axis) => (axes.includes(axis) ? 1 : length)) : sizes.slice(0, kept.length);
  return { shape, data: out };
}
