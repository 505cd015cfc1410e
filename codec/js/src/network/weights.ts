// Convolutions: which ones there are kernels for, and their weights in the order that those read.
import { type Node, type Tensor, unsupported } from "./graph.js";
import type { Value, Window } from "./steps.js";

const BLOCK = 4;

/**
 * The window of a node over x, and the shape of what comes out. A transposed one, whose windows do not overlap, makes
 * `spread` times as many rows and columns: it is run as points with a channel for each place in a window. 1 for others.
 */
export function windowOf(node: Node, x: Value, weights: Tensor): { window: Window; shape: number[]; spread: number } {
  const {
    strides = [1, 1],
    pads = [0, 0, 0, 0],
    dilations = [1, 1],
    group = 1,
  } = node.attributes as {
    strides?: number[];
    pads?: number[];
    dilations?: number[];
    group?: number;
  };
  const [out, , side, width] = weights.shape as [number, number, number, number];
  const [, channels, rows, columns] = x.shape as [number, number, number, number];
  const turned = node.operator === "ConvTranspose";
  const stride = strides[0] as number;
  const pad = pads[0] as number;
  const even = side === width && strides[1] === stride && pads.every((one) => one === pad) && !(pad && x.padding);
  if (x.shape.length !== 4 || !even || dilations.some((one) => one !== 1)) throw unsupported(node);
  const window: Window = {
    channels: out,
    side,
    stride,
    pad: pad + x.padding,
    edge: x.padding > 0,
    depthwise: group > 1,
    weights: 0,
    bias: 0,
  };
  if (turned) {
    const [into, outOf] = weights.shape as [number, number];
    if (side !== stride || group !== 1 || window.pad || into !== channels) throw unsupported(node);
    Object.assign(window, { channels: outOf * side * side, side: 1, stride: 1 });
    return { window, shape: [1, window.channels, rows, columns], spread: side };
  }
  const inner = weights.shape[1] as number;
  if (window.depthwise) {
    if (group !== channels || out !== channels || inner !== 1 || side !== 3 || stride !== 1 || window.pad !== 1)
      throw unsupported(node);
  } else if (inner !== channels) {
    throw unsupported(node);
  }
  const length = (pixels: number) => Math.floor((pixels + 2 * window.pad - side) / stride) + 1;
  return { window, shape: [1, out, length(rows), length(columns)], spread: 1 };
}

/** Weights [channels / 4, rounded up][depth][4], zeros where there is no channel; of a 3x3 one over each channel as they are. */
export function packWeights(weights: Tensor, window: Window, transposed: boolean): Float32Array {
  const data = weights.data;
  if (window.depthwise) return new Float32Array(data);
  const depth = data.length / window.channels;
  const packed = new Float32Array(Math.ceil(window.channels / BLOCK) * BLOCK * depth);
  for (let m = 0; m < window.channels; m++) {
    const first = Math.floor(m / BLOCK) * BLOCK * depth + (m % BLOCK);
    for (let k = 0; k < depth; k++) {
      // A transposed one has its inputs first: [depth][channels].
      packed[first + k * BLOCK] = data[transposed ? k * window.channels + m : m * depth + k] as number;
    }
  }
  return packed;
}

/** Biases, zeros where there are none, filled up to whole blocks. */
export function packBias(bias: Tensor | undefined, channels: number, spread: number): Float32Array {
  const packed = new Float32Array(Math.ceil(channels / BLOCK) * BLOCK);
  for (let m = 0; bias && m < channels; m++) packed[m] = bias.data[Math.floor(m / (spread * spread))] as number;
  return packed;
}
