// Operators on small arrays whose values are known before a picture is: everything that hangs on the level alone.
import { ModelError } from "../errors.js";
import { type Node, type Tensor, unsupported } from "./graph.js";

const INTEGER = 7;

type Data = Float32Array | Float64Array;

/** Count of the elements of a shape. */
export function size(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** Elements from one of an array to the next along each axis, in raster order. */
export function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, axis) => size(shape.slice(axis + 1)));
}

/** The shape that two arrays have together. Throws ModelError. */
export function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [one, other] = [a[axis - rank + a.length] ?? 1, b[axis - rank + b.length] ?? 1];
    if (one !== other && one !== 1 && other !== 1)
      throw new ModelError(`arrays of shapes [${a}] and [${b}] do not fit`);
    return one === 1 ? other : one;
  });
}

/** Strides that repeat an array along the axes of a larger shape. */
function repeating(from: readonly number[], to: readonly number[]): number[] {
  const strides = stridesOf(from);
  const more = to.length - from.length;
  return to.map((_, axis) => (axis < more || from[axis - more] === 1 ? 0 : (strides[axis - more] as number)));
}

/** Elements of an array in the order of another shape, with a stride for each axis. */
export function gathered(data: Data, shape: readonly number[], strides: readonly number[], offset = 0): Data {
  const out = blank(data, size(shape));
  const at = shape.map(() => 0);
  let from = offset;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis] as number;
      if (++(at[axis] as number) < (shape[axis] as number)) break;
      from -= (strides[axis] as number) * (shape[axis] as number);
      at[axis] = 0;
    }
  }
  return out;
}

function blank(like: Data, count: number): Data {
  return like instanceof Float32Array ? new Float32Array(count) : new Float64Array(count);
}

/** An array repeated to a larger shape. */
export function expanded(tensor: Tensor, shape: readonly number[]): Tensor {
  return { shape, data: gathered(tensor.data, shape, repeating(tensor.shape, shape)) };
}

const ARITHMETIC: Record<string, (a: number, b: number) => number> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
};

const FUNCTIONS: Record<string, (x: number) => number> = {
  Floor: Math.floor,
  Exp: Math.exp,
  Log: Math.log,
  Abs: Math.abs,
};

function arithmetic(operator: string, a: Tensor, b: Tensor): Tensor {
  const shape = broadcast(a.shape, b.shape);
  const [left, right] = [expanded(a, shape).data, expanded(b, shape).data];
  const apply = ARITHMETIC[operator] as (a: number, b: number) => number;
  const data = blank(left, left.length);
  const whole = data instanceof Float64Array;
  for (let i = 0; i < data.length; i++) {
    const value = apply(left[i] as number, right[i] as number);
    data[i] = whole ? Math.trunc(value) : value;
  }
  return { shape, data };
}

/** Whole numbers of an input, such as axes. */
export function numbers(tensor: Tensor | undefined): number[] {
  if (!tensor) throw new ModelError("an operator lacks an input that has to be known before");
  return [...tensor.data];
}

/** An axis counted from the front. */
export function axisOf(node: Node, rank: number): number {
  const axis = Number(node.attributes.axis ?? 0);
  return axis < 0 ? axis + rank : axis;
}

/** The shape that Reshape, Squeeze and Unsqueeze make. Throws ModelError. */
export function reshaped(node: Node, shape: readonly number[], wanted: Tensor | undefined): number[] {
  if (node.operator === "Squeeze" && !wanted) return shape.filter((length) => length !== 1);
  const listed = numbers(wanted);
  if (node.operator === "Squeeze") {
    const axes = listed.map((axis) => (axis < 0 ? axis + shape.length : axis));
    return shape.filter((_, axis) => !axes.includes(axis));
  }
  if (node.operator === "Unsqueeze") {
    const rank = shape.length + listed.length;
    const axes = listed.map((axis) => (axis < 0 ? axis + rank : axis));
    const rest = [...shape];
    return Array.from({ length: rank }, (_, axis) => (axes.includes(axis) ? 1 : (rest.shift() ?? 1)));
  }
  const kept = listed.map((length, axis) => (length === 0 && !node.attributes.allowzero ? (shape[axis] ?? 1) : length));
  const known = size(kept.filter((length) => length !== -1));
  return kept.map((length) => (length === -1 ? size(shape) / known : length));
}

/** The part of an array that Slice leaves: its shape, strides, and the first element. */
export function sliced(
  shape: readonly number[],
  inputs: (Tensor | undefined)[],
): { shape: number[]; strides: number[]; offset: number } {
  const [, starts, ends, axes, steps] = inputs;
  const out = [...shape];
  const strides = stridesOf(shape);
  let offset = 0;
  const listed = axes ? numbers(axes) : numbers(starts).map((_, axis) => axis);
  listed.forEach((given, place) => {
    const axis = given < 0 ? given + shape.length : given;
    const length = shape[axis] as number;
    const limit = (at: number) => Math.min(Math.max(at < 0 ? at + length : at, 0), length);
    const step = steps ? (numbers(steps)[place] as number) : 1;
    if (step < 1) throw new ModelError(`a step of ${step} through an array is not supported`);
    const first = limit(numbers(starts)[place] as number);
    out[axis] = Math.max(0, Math.ceil((limit(numbers(ends)[place] as number) - first) / step));
    offset += first * (strides[axis] as number);
    strides[axis] = (strides[axis] as number) * step;
  });
  return { shape: out, strides, offset };
}

function concatenated(tensors: Tensor[], axis: number): Tensor {
  const first = tensors[0] as Tensor;
  const shape = [...first.shape];
  shape[axis] = tensors.reduce((sum, { shape }) => sum + (shape[axis] as number), 0);
  const data = blank(first.data, size(shape));
  const outer = size(shape.slice(0, axis));
  const whole = size(shape.slice(axis));
  let at = 0;
  for (const tensor of tensors) {
    const piece = size(tensor.shape.slice(axis));
    for (let i = 0; i < outer; i++) data.set(tensor.data.subarray(i * piece, (i + 1) * piece), i * whole + at);
    at += piece;
  }
  return { shape, data };
}

function picked(tensor: Tensor, index: Tensor, axis: number): Tensor {
  const length = tensor.shape[axis] as number;
  const inner = size(tensor.shape.slice(axis + 1));
  const outer = size(tensor.shape.slice(0, axis));
  const places = numbers(index).map((place) => (place < 0 ? place + length : place));
  if (places.some((place) => !(place >= 0 && place < length))) throw new ModelError("a graph picks what is not there");
  const shape = [...tensor.shape.slice(0, axis), ...index.shape, ...tensor.shape.slice(axis + 1)];
  const data = blank(tensor.data, size(shape));
  for (let i = 0; i < outer; i++) {
    places.forEach((place, at) => {
      const from = (i * length + place) * inner;
      data.set(tensor.data.subarray(from, from + inner), (i * places.length + at) * inner);
    });
  }
  return { shape, data };
}

/** The one output of a node all of whose inputs are known; `undefined` stands for those that are left out. */
export function fold(node: Node, inputs: (Tensor | undefined)[]): Tensor {
  const { operator } = node;
  const x = inputs[0] as Tensor;
  const second = inputs[1];
  if (operator in ARITHMETIC) return arithmetic(operator, x, second as Tensor);
  const apply = FUNCTIONS[operator];
  if (apply) return { shape: x.shape, data: x.data.map(apply) };
  switch (operator) {
    case "Cast": {
      const whole = node.attributes.to === INTEGER;
      return { shape: x.shape, data: whole ? new Float64Array(x.data).map(Math.trunc) : new Float32Array(x.data) };
    }
    case "Clip": {
      const [low, high] = [inputs[1]?.data[0] ?? -Infinity, inputs[2]?.data[0] ?? Infinity];
      return { shape: x.shape, data: x.data.map((value) => Math.min(Math.max(value, low), high)) };
    }
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze":
      return { shape: reshaped(node, x.shape, second), data: x.data };
    case "Gather":
      return picked(x, second as Tensor, axisOf(node, x.shape.length));
    case "Concat":
      return concatenated(inputs as Tensor[], axisOf(node, x.shape.length));
    case "Expand":
      return expanded(x, broadcast(x.shape, numbers(second)));
    case "Tile": {
      const times = numbers(second);
      return x.shape.reduce<Tensor>(
        (tensor, _, axis) => concatenated(Array<Tensor>(times[axis] as number).fill(tensor), axis),
        x,
      );
    }
    case "Slice": {
      const { shape, strides, offset } = sliced(x.shape, inputs);
      return { shape, data: gathered(x.data, shape, strides, offset) };
    }
    case "Transpose": {
      const order = node.attributes.perm as number[];
      const strides = stridesOf(x.shape);
      const shape = order.map((axis) => x.shape[axis] as number);
      return {
        shape,
        data: gathered(
          x.data,
          shape,
          order.map((axis) => strides[axis] as number),
        ),
      };
    }
    default:
      throw unsupported(node);
  }
}
