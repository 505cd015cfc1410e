// What operators need of arrays: types, axes, loops over what is broadcast.
import { ModelError } from "../errors.js";
import { broadcast, expanded, gathered, numbers, size, stridesOf } from "../network/fold.js";
import type { Node, Tensor } from "../network/graph.js";

export type Inputs = (Tensor | undefined)[];

/** An input that has to be there. Throws ModelError. */
export function need(inputs: Inputs, place: number, node: Node): Tensor {
  const found = inputs[place];
  if (!found) throw new ModelError(`the operator ${node.operator} lacks its input ${place}`);
  return found;
}

export function floats(shape: readonly number[], data: Float32Array = new Float32Array(size(shape))): Tensor {
  return { shape, data };
}

export function wholes(shape: readonly number[], data: Float64Array = new Float64Array(size(shape))): Tensor {
  return { shape, data };
}

/** A number of a node's attributes. */
export function attribute(node: Node, name: string, usual: number): number {
  return Number(node.attributes[name] ?? usual);
}

/** A list of a node's attributes. */
export function list(node: Node, name: string, usual: number[]): number[] {
  const found = node.attributes[name] as number[] | undefined;
  return found?.length ? found : usual;
}

/** An operator of two arrays, element by element; `out` has the type of what comes out. */
export function pairwise(a: Tensor, b: Tensor, whole: boolean, apply: (a: number, b: number) => number): Tensor {
  const shape = broadcast(a.shape, b.shape);
  const count = size(shape);
  const out = whole ? new Float64Array(count) : new Float32Array(count);
  const [one, other] = [a.data, b.data];
  if (other.length === 1 && one.length === count) {
    const value = other[0] as number;
    for (let i = 0; i < count; i++) out[i] = apply(one[i] as number, value);
  } else {
    const left = one.length === count ? one : expanded(a, shape).data;
    const right = other.length === count ? other : expanded(b, shape).data;
    for (let i = 0; i < count; i++) out[i] = apply(left[i] as number, right[i] as number);
  }
  return { shape, data: out };
}

/** Axes that an operator names by an input or an attribute, from the front; none where it names none. */
export function axesOf(node: Node, axes: Tensor | undefined, rank: number): number[] {
  const listed = axes ? numbers(axes) : list(node, "axes", []);
  return listed.map((axis) => (axis < 0 ? axis + rank : axis));
}

/** Slice, backwards too, which turns a series for a recurrent network. */
export function slice(node: Node, inputs: Inputs): Tensor {
  const x = need(inputs, 0, node);
  const [starts, ends] = [numbers(inputs[1]), numbers(inputs[2])];
  const axes = inputs[3] ? numbers(inputs[3]) : starts.map((_, axis) => axis);
  const shape = [...x.shape];
  const strides = stridesOf(shape);
  let offset = 0;
  axes.forEach((given, place) => {
    const axis = given < 0 ? given + shape.length : given;
    const length = shape[axis] as number;
    const step = inputs[4] ? (numbers(inputs[4])[place] as number) : 1;
    const [least, most] = step < 0 ? [-1, length - 1] : [0, length];
    const limit = (at: number) => Math.min(Math.max(at < 0 ? at + length : at, least), most);
    const first = limit(starts[place] as number);
    shape[axis] = Math.max(0, Math.ceil((limit(ends[place] as number) - first) / step));
    offset += first * (strides[axis] as number);
    strides[axis] = (strides[axis] as number) * step;
  });
  return { shape, data: gathered(x.data, shape, strides, offset) };
}

/** Parts of an array at places of several axes, such as a value for each row and time. */
export function gatherNd(node: Node, inputs: Inputs): Tensor {
  const [x, indices] = [need(inputs, 0, node), need(inputs, 1, node)];
  const batch = attribute(node, "batch_dims", 0);
  const depth = indices.shape[indices.shape.length - 1] ?? 0;
  const part = size(x.shape.slice(batch + depth));
  const strides = stridesOf(x.shape);
  const count = indices.data.length / depth;
  const inBatch = count / size(x.shape.slice(0, batch));
  const out = x.data instanceof Float32Array ? new Float32Array(count * part) : new Float64Array(count * part);
  for (let tuple = 0; tuple < count; tuple++) {
    let from = Math.floor(tuple / inBatch) * size(x.shape.slice(batch));
    for (let place = 0; place < depth; place++) {
      const length = x.shape[batch + place] as number;
      const at = indices.data[tuple * depth + place] as number;
      if (!(at >= -length && at < length)) throw new ModelError(`the operator GatherND takes place ${at} of ${length}`);
      from += (at < 0 ? at + length : at) * (strides[batch + place] as number);
    }
    out.set(x.data.subarray(from, from + part), tuple * part);
  }
  return { shape: [...indices.shape.slice(0, -1), ...x.shape.slice(batch + depth)], data: out };
}
