// LSTM with the usual activations, as torch exports it.
import { ModelError } from "../errors.js";
import type { Node, Tensor } from "../network/graph.js";
import { attribute, floats, type Inputs, need } from "./shapes.js";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Y [rows, directions, batch, units], and the last states Y_h and Y_c. */
export function lstm(node: Node, inputs: Inputs): Tensor[] {
  const [x, w, r] = [0, 1, 2].map((place) => need(inputs, place, node)) as [Tensor, Tensor, Tensor];
  const [rows, batch, width] = x.shape as [number, number, number];
  const [directions, gates] = w.shape as [number, number];
  const units = gates / 4;
  if (attribute(node, "layout", 0) || inputs[4] || inputs[7] || attribute(node, "input_forget", 0)) {
    throw new ModelError("an LSTM of this kind needs another runtime");
  }
  const out = floats([rows, directions, batch, units]);
  const last = [5, 6].map((place) => {
    const first = inputs[place];
    return floats([directions, batch, units], first ? new Float32Array(first.data) : undefined);
  }) as [Tensor, Tensor];
  const sums = new Float64Array(gates);
  for (let d = 0; d < directions; d++) {
    const reverse = node.attributes.direction === "reverse" || d === 1;
    for (let step = 0; step < rows; step++) {
      const row = reverse ? rows - 1 - step : step;
      for (let n = 0; n < batch; n++) {
        const at = (d * batch + n) * units;
        const state = last[0].data.subarray(at, at + units);
        const cell = last[1].data.subarray(at, at + units);
        for (let g = 0; g < gates; g++) {
          const bias = inputs[3]?.data;
          let sum = bias ? (bias[d * 2 * gates + g] as number) + (bias[d * 2 * gates + gates + g] as number) : 0;
          const [fromX, fromR] = [(d * gates + g) * width, (d * gates + g) * units];
          const given = (row * batch + n) * width;
          for (let k = 0; k < width; k++) sum += (w.data[fromX + k] as number) * (x.data[given + k] as number);
          for (let k = 0; k < units; k++) sum += (r.data[fromR + k] as number) * (state[k] as number);
          sums[g] = sum;
        }
        for (let u = 0; u < units; u++) {
          // Gates are in the order input, output, forget, cell.
          const [into, outOf, forget, news] = [0, 1, 2, 3].map((gate) => sums[gate * units + u] as number) as [
            number,
            number,
            number,
            number,
          ];
          cell[u] = sigmoid(forget) * (cell[u] as number) + sigmoid(into) * Math.tanh(news);
          state[u] = sigmoid(outOf) * Math.tanh(cell[u] as number);
        }
        out.data.set(state, ((row * directions + d) * batch + n) * units);
      }
    }
  }
  return [out, ...last];
}
