// Products of matrices, in float32 and in 8 bits.
import { ModelError } from "../errors.js";
import { gathered, numbers, size } from "../network/fold.js";
import type { Node, Tensor } from "../network/graph.js";
import { attribute, floats, type Inputs, need, wholes } from "./shapes.js";

/** Rows x depth times depth x columns; sums are kept in float64. */
function multiply(a: Tensor["data"], b: Tensor["data"], out: Tensor["data"], rows: number, depth: number): void {
  const columns = out.length / rows;
  const sums = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    sums.fill(0);
    for (let k = 0; k < depth; k++) {
      const factor = a[i * depth + k] as number;
      if (factor === 0) continue; // codes and masks are sparse
      const from = k * columns;
      for (let j = 0; j < columns; j++) sums[j] = (sums[j] as number) + factor * (b[from + j] as number);
    }
    out.set(sums, i * columns);
  }
}

function turned(tensor: Tensor): Tensor {
  const [rows, columns] = tensor.shape as [number, number];
  return { shape: [columns, rows], data: gathered(tensor.data, [columns, rows], [1, columns]) };
}

/** Turned weights by what they were: constants stay as they are from run to run. */
const known = new WeakMap<Tensor, Tensor>();

export function gemm(node: Node, inputs: Inputs): Tensor {
  const given = need(inputs, 1, node);
  const a = attribute(node, "transA", 0) ? turned(need(inputs, 0, node)) : need(inputs, 0, node);
  let b = given;
  if (attribute(node, "transB", 0)) {
    b = known.get(given) ?? turned(given);
    known.set(given, b);
  }
  const [rows, depth] = a.shape as [number, number];
  const columns = b.shape[1] as number;
  if (b.shape[0] !== depth) throw new ModelError(`a Gemm multiplies [${a.shape}] by [${b.shape}]`);
  const out = floats([rows, columns]);
  multiply(a.data, b.data, out.data, rows, depth);
  const c = inputs[2];
  const [alpha, beta] = [attribute(node, "alpha", 1), attribute(node, "beta", 1)];
  if (!c && alpha === 1) return out;
  const [across, down] = [c?.shape.at(-1) === 1 ? 0 : 1, (c?.shape.at(-2) ?? 1) === 1 ? 0 : (c?.shape.at(-1) ?? 1)];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const at = i * columns + j;
      const more = c ? beta * (c.data[c.shape.length ? i * down + j * across : 0] as number) : 0;
      out.data[at] = alpha * (out.data[at] as number) + more;
    }
  }
  return out;
}

function product(a: Tensor, b: Tensor, whole: boolean): Tensor {
  const depth = a.shape.at(-1) as number;
  const columns = b.shape.length > 1 ? (b.shape.at(-1) as number) : 1;
  const inner = b.shape.length > 1 ? (b.shape.at(-2) as number) : b.shape[0];
  const outer = b.shape.slice(0, -2);
  const same = !outer.length || outer.join() === a.shape.slice(0, -2).join();
  if (inner !== depth || !same)
    throw new ModelError(`a product of [${a.shape}] and [${b.shape}] needs another runtime`);
  const shape = [...a.shape.slice(0, -1), ...(b.shape.length > 1 ? [columns] : [])];
  const out = whole ? wholes(shape) : floats(shape);
  const count = size(outer);
  const [fromA, fromB, to] = [a.data.length / count, b.data.length / count, out.data.length / count];
  for (let i = 0; i < count; i++) {
    const part = <T extends Tensor["data"]>(data: T, each: number) => data.subarray(i * each, (i + 1) * each) as T;
    multiply(part(a.data, fromA), part(b.data, fromB), part(out.data, to), fromA / depth, depth);
  }
  return out;
}

export function matMul(node: Node, inputs: Inputs): Tensor {
  return product(need(inputs, 0, node), need(inputs, 1, node), false);
}

/** Whole numbers less their zero points; those of the second may be one a column. */
export function matMulInteger(node: Node, inputs: Inputs): Tensor {
  const [a, b] = [need(inputs, 0, node), need(inputs, 1, node)];
  const zero = inputs[2]?.data[0] ?? 0;
  const zeros = inputs[3] ? numbers(inputs[3]) : [0];
  const left = wholes(
    a.shape,
    Float64Array.from(a.data, (x) => x - zero),
  );
  if (zeros.every((one) => one === 0)) return product(left, b, true);
  const columns = b.shape.at(-1) as number;
  const right = Float64Array.from(b.data, (x, i) => x - (zeros[zeros.length > 1 ? i % columns : 0] as number));
  return product(left, wholes(b.shape, right), true);
}

/** Half to even, as rounding is in ONNX. */
function even(x: number): number {
  const near = Math.round(x);
  return near - x === 0.5 && near % 2 ? near - 1 : near;
}

/** Numbers in 0..255, what one step is worth, and where 0 is. */
export function dynamicQuantize(node: Node, inputs: Inputs): Tensor[] {
  const { shape, data } = need(inputs, 0, node);
  let [low, high] = [0, 0];
  for (const x of data) [low, high] = [Math.min(low, x), Math.max(high, x)];
  const step = Math.fround(Math.fround(high - low) / 255);
  const clipped = (x: number) => Math.min(Math.max(even(x), 0), 255);
  const zero = step ? clipped(Math.fround(-low / step)) : 0;
  const steps = Float64Array.from(data, (x) => (step ? clipped(even(Math.fround(x / step)) + zero) : 0));
  return [wholes(shape, steps), floats([], Float32Array.of(step)), wholes([], Float64Array.of(zero))];
}
