// Operators that move numbers and change none.
import { ModelError } from "../errors.js";
import { axisOf, numbers, reshaped, size, sliced, stridesOf } from "./fold.js";
import { type Node, unsupported } from "./graph.js";
import type { Planner } from "./planner.js";
import type { Piece, Value } from "./steps.js";

export const LAYOUT = [
  "Cast",
  "Concat",
  "DepthToSpace",
  "Expand",
  "Gather",
  "Pad",
  "Reshape",
  "Slice",
  "Split",
  "Squeeze",
  "Tile",
  "Transpose",
  "Unsqueeze",
];
const AXES = 5;

/** The outputs of a node; `given` stands in for its first input. */
export function layout(planner: Planner, node: Node, given?: Value): Value[] {
  const second = planner.constant(node.inputs[1]);
  if (node.operator === "Concat") return [concat(planner, node)];
  const x = given ?? planner.value(node.inputs[0]);
  const view = (shape: readonly number[], offset = 0): Value => ({
    ...x,
    shape,
    offset: x.offset + offset,
    step: null,
  });
  if (x.padding) throw unsupported(node);
  switch (node.operator) {
    case "Cast":
      if (node.attributes.to !== 1) throw unsupported(node);
      return [view(x.shape)];
    case "Reshape":
    case "Squeeze":
    case "Unsqueeze":
      return [view(reshaped(node, x.shape, second))];
    case "Split":
      return split(node, x, second ? numbers(second) : null, view);
    case "Slice": {
      const part = sliced(
        x.shape,
        node.inputs.map((name) => planner.constant(name)),
      );
      return [rearranged(planner, x, part.shape, part.strides, part.offset)];
    }
    case "Transpose": {
      const order = node.attributes.perm as number[];
      const strides = stridesOf(x.shape);
      const pick = (from: readonly number[]) => order.map((axis) => from[axis] as number);
      return [rearranged(planner, x, pick(x.shape), pick(strides), 0)];
    }
    case "DepthToSpace":
      return [depthToSpace(planner, node, x)];
    case "Gather":
      return [picked(planner, node, x, numbers(second))];
    case "Pad":
      return [padded(node, x, numbers(second))];
    default:
      // Expand and Tile that repeat nothing.
      if (size(x.shape) === 1 || numbers(second).some((length) => length !== 1)) throw unsupported(node);
      return [view(x.shape)];
  }
}

function split(
  node: Node,
  x: Value,
  sizes: number[] | null,
  view: (shape: number[], offset: number) => Value,
): Value[] {
  const axis = axisOf(node, x.shape.length);
  const length = x.shape[axis] as number;
  const count = node.outputs.length;
  if (size(x.shape.slice(0, axis)) !== 1) throw unsupported(node);
  let at = 0;
  return node.outputs.map((_, part) => {
    const taken = sizes ? (sizes[part] as number) : Math.min(Math.ceil(length / count), length - at);
    const shape = x.shape.map((one, place) => (place === axis ? taken : one));
    const offset = at * size(x.shape.slice(axis + 1));
    at += taken;
    return view(shape, offset);
  });
}

function concat(planner: Planner, node: Node): Value {
  const parts = node.inputs.map((name) => planner.value(name));
  const first = parts[0] as Value;
  const axis = axisOf(node, first.shape.length);
  if (size(first.shape.slice(0, axis)) !== 1) throw unsupported(node);
  const shape = [...first.shape];
  shape[axis] = parts.reduce((sum, part) => sum + (part.shape[axis] as number), 0);
  let to = 0;
  const pieces = parts.map((from): Piece => {
    const count = size(from.shape);
    to += count;
    return { from, first: 0, count, to: to - count };
  });
  return planner.push({ kind: "copy", pieces, elements: [], ...planner.made(shape) });
}

function picked(planner: Planner, node: Node, x: Value, places: number[]): Value {
  const axis = axisOf(node, x.shape.length);
  if (size(x.shape.slice(0, axis)) !== 1) throw unsupported(node);
  const count = size(x.shape.slice(axis + 1));
  const shape = x.shape.map((length, place) => (place === axis ? places.length : length));
  const pieces = places.map((place, at): Piece => {
    const channel = place < 0 ? place + (x.shape[axis] as number) : place;
    if (!(channel >= 0 && channel < (x.shape[axis] as number))) throw new ModelError("a graph picks what is not there");
    return { from: x, first: channel * count, count, to: at * count };
  });
  return planner.push({ kind: "copy", pieces, elements: [], ...planner.made(shape) });
}

function depthToSpace(planner: Planner, node: Node, x: Value): Value {
  const side = Number(node.attributes.blocksize);
  const [, depth, rows, columns] = x.shape as [number, number, number, number];
  const channels = depth / (side * side);
  if (node.attributes.mode !== "CRD") throw unsupported(node);
  const plane = rows * columns;
  const strides = [side * side * plane, columns, side * plane, 1, plane];
  const moved = rearranged(planner, x, [channels, rows, side, columns, side], strides, 0);
  return { ...moved, shape: [1, channels, rows * side, columns * side] };
}

/** Numbers of x in the order of a shape, with a stride for each axis. */
function rearranged(
  planner: Planner,
  x: Value,
  shape: readonly number[],
  strides: readonly number[],
  first: number,
): Value {
  // Axes that go on where the next one ends are one.
  const sizes: number[] = [];
  const steps: number[] = [];
  shape.forEach((length, axis) => {
    const stride = strides[axis] as number;
    const last = sizes.length - 1;
    if (length === 1) return;
    if (last >= 0 && steps[last] === stride * length) {
      sizes[last] = (sizes[last] as number) * length;
      steps[last] = stride;
    } else {
      sizes.push(length);
      steps.push(stride);
    }
  });
  if (sizes.length > AXES) throw new ModelError(`an order of ${sizes.length} axes needs another runtime`);
  while (sizes.length < AXES) {
    sizes.unshift(1);
    steps.unshift(0);
  }
  return planner.push({ kind: "rearrange", x, first, sizes, strides: steps, elements: [], ...planner.made(shape) });
}

function padded(node: Node, x: Value, pads: number[]): Value {
  const even = pads.join() === [0, 0, 1, 1, 0, 0, 1, 1].join();
  if (!even || node.attributes.mode !== "edge") throw unsupported(node);
  return { ...x, padding: 1, step: null };
}
