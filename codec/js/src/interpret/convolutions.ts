// Convolutions of one and two axes, forwards and transposed.
import { ModelError } from "../errors.js";
import type { Node, Tensor } from "../network/graph.js";
import { attribute, floats, type Inputs, list, need } from "./shapes.js";

interface Window {
  x: Tensor;
  weights: Tensor;
  bias: Tensor | undefined;
  strides: number[];
  pads: number[];
  dilations: number[];
  group: number;
  /** [batch, channels, rows, columns] of what comes in; a single axis is one of columns. */
  from: [number, number, number, number];
  side: [number, number];
  flat: boolean;
}

function windowOf(node: Node, inputs: Inputs): Window {
  const [x, weights] = [need(inputs, 0, node), need(inputs, 1, node)];
  const flat = x.shape.length === 3;
  if (!flat && x.shape.length !== 4) throw new ModelError(`a ${node.operator} of [${x.shape}] needs another runtime`);
  const auto = node.attributes.auto_pad ?? "NOTSET";
  if (auto !== "NOTSET" && auto !== "VALID") throw new ModelError(`the padding ${auto} needs another runtime`);
  const two = (values: number[], usual: number): [number, number] =>
    (flat ? [usual, values[0] ?? usual] : [values[0] ?? usual, values[1] ?? usual]) as [number, number];
  const pads = list(node, "pads", [0, 0, 0, 0]);
  const size = x.shape as number[];
  return {
    x,
    weights,
    bias: inputs[2],
    strides: two(list(node, "strides", []), 1),
    pads: flat ? [0, pads[0] ?? 0, 0, pads[1] ?? 0] : pads,
    dilations: two(list(node, "dilations", []), 1),
    group: attribute(node, "group", 1),
    from: [size[0] as number, size[1] as number, flat ? 1 : (size[2] as number), size.at(-1) as number],
    side: two(weights.shape.slice(2) as number[], 1),
    flat,
  };
}

/**
 * For each pair of channels, place in a window and row: adds `weight` times a row of `from` to a row of `to`, whose
 * places are `step` as far apart.
 */
function spread(
  to: Float32Array,
  toAt: number,
  toLength: number,
  from: Tensor["data"],
  fromAt: number,
  fromLength: number,
  weight: number,
  step: number,
  shift: number,
): void {
  // Of `from` the elements i for which i * step + shift lies in `to`.
  const first = Math.max(0, Math.ceil(-shift / step));
  const last = Math.min(fromLength, Math.floor((toLength - 1 - shift) / step) + 1);
  for (let i = first, at = toAt + first * step + shift; i < last; i++, at += step) {
    to[at] = (to[at] as number) + weight * (from[fromAt + i] as number);
  }
}

function gather(
  to: Float32Array,
  toAt: number,
  toLength: number,
  from: Tensor["data"],
  fromAt: number,
  fromLength: number,
  weight: number,
  step: number,
  shift: number,
): void {
  const first = Math.max(0, Math.ceil(-shift / step));
  const last = Math.min(toLength, Math.floor((fromLength - 1 - shift) / step) + 1);
  for (let i = first, at = fromAt + first * step + shift; i < last; i++, at += step) {
    to[toAt + i] = (to[toAt + i] as number) + weight * (from[at] as number);
  }
}

function blank(window: Window, shape: [number, number, number, number]): Tensor {
  const { bias, flat } = window;
  const [batch, channels, rows, columns] = shape;
  const out = new Float32Array(batch * channels * rows * columns);
  if (bias) {
    for (let i = 0; i < batch * channels; i++) {
      out.fill(bias.data[i % channels] as number, i * rows * columns, (i + 1) * rows * columns);
    }
  }
  return floats(flat ? [batch, channels, columns] : shape, out);
}

export function convolution(node: Node, inputs: Inputs): Tensor {
  const window = windowOf(node, inputs);
  const { x, weights, from, side, strides, pads, dilations, group } = window;
  const [batch, channels, rows, columns] = from;
  const [outs, inner] = weights.shape as [number, number];
  if (inner * group !== channels)
    throw new ModelError(`a Conv over ${channels} channels has weights [${weights.shape}]`);
  const length = (size: number, axis: 0 | 1): number => {
    const reach = (dilations[axis] as number) * (side[axis] - 1) + 1;
    return (
      Math.floor((size + (pads[axis] as number) + (pads[axis + 2] as number) - reach) / (strides[axis] as number)) + 1
    );
  };
  const [high, wide] = [length(rows, 0), length(columns, 1)];
  const out = blank(window, [batch, outs, high, wide]);
  const each = outs / group;
  for (let n = 0; n < batch; n++) {
    for (let o = 0; o < outs; o++) {
      for (let i = 0; i < inner; i++) {
        const plane = (n * channels + Math.floor(o / each) * inner + i) * rows;
        for (let r = 0; r < side[0]; r++) {
          for (let c = 0; c < side[1]; c++) {
            const weight = weights.data[((o * inner + i) * side[0] + r) * side[1] + c] as number;
            const shift = c * (dilations[1] as number) - (pads[1] as number);
            for (let y = 0; y < high; y++) {
              const row = y * (strides[0] as number) + r * (dilations[0] as number) - (pads[0] as number);
              if (row < 0 || row >= rows) continue;
              const to = ((n * outs + o) * high + y) * wide;
              const at = (plane + row) * columns;
              gather(out.data as Float32Array, to, wide, x.data, at, columns, weight, strides[1] as number, shift);
            }
          }
        }
      }
    }
  }
  return out;
}

export function transposedConvolution(node: Node, inputs: Inputs): Tensor {
  const window = windowOf(node, inputs);
  const { x, weights, from, side, strides, pads, dilations, group, flat } = window;
  const [batch, channels, rows, columns] = from;
  const each = weights.shape[1] as number;
  const outs = each * group;
  if (weights.shape[0] !== channels || node.attributes.output_shape) {
    throw new ModelError(`a ConvTranspose with weights [${weights.shape}] needs another runtime`);
  }
  const more = list(node, "output_padding", [0, 0]);
  const length = (size: number, axis: 0 | 1): number =>
    (strides[axis] as number) * (size - 1) +
    ((flat ? [0, more[0]] : more)[axis] ?? 0) +
    (dilations[axis] as number) * (side[axis] - 1) +
    1 -
    (pads[axis] as number) -
    (pads[axis + 2] as number);
  const [high, wide] = [length(rows, 0), length(columns, 1)];
  const out = blank(window, [batch, outs, high, wide]);
  for (let n = 0; n < batch; n++) {
    for (let i = 0; i < channels; i++) {
      const first = Math.floor(i / (channels / group)) * each;
      for (let o = 0; o < each; o++) {
        for (let r = 0; r < side[0]; r++) {
          for (let c = 0; c < side[1]; c++) {
            const weight = weights.data[((i * each + o) * side[0] + r) * side[1] + c] as number;
            const shift = c * (dilations[1] as number) - (pads[1] as number);
            for (let y = 0; y < rows; y++) {
              const row = y * (strides[0] as number) + r * (dilations[0] as number) - (pads[0] as number);
              if (row < 0 || row >= high) continue;
              const to = ((n * outs + first + o) * high + row) * wide;
              const at = ((n * channels + i) * rows + y) * columns;
              spread(out.data as Float32Array, to, wide, x.data, at, columns, weight, strides[1] as number, shift);
            }
          }
        }
      }
    }
  }
  return out;
}
