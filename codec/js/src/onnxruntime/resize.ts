// Pictures squeezed to the size of a model as Pillow's Lanczos filter does it in 8 bits: first across and then down, which
// newer ones turn round where that is less work, so that levels may differ by two.

/** Bytes [rows][columns]. */
export interface Channel {
  rows: number;
  columns: number;
  data: Uint8Array;
}

const LOBES = 3;
/** Weights are whole numbers of this unit. */
const ONE = 2 ** 22;

interface Taps {
  first: number;
  weights: number[];
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const lanczos = (x: number): number => (x >= -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0);

/** For each sample of a line which samples of the longer or shorter one it is made of. */
function tapsOf(from: number, to: number): Taps[] {
  const scale = from / to;
  const wide = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - LOBES * wide + 0.5), 0);
    const end = Math.min(Math.trunc(centre + LOBES * wide + 0.5), from);
    const weights = Array.from({ length: end - first }, (_, at) => lanczos((at + first - centre + 0.5) / wide));
    const sum = weights.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: weights.map((weight) => Math.trunc((weight / sum) * ONE + (weight < 0 ? -0.5 : 0.5))) };
  });
}

function resizedRows({ rows, columns, data }: Channel, to: number): Channel {
  const out = new Uint8Array(rows * to);
  tapsOf(columns, to).forEach(({ first, weights }, column) => {
    for (let row = 0; row < rows; row++) {
      const from = row * columns + first;
      let sum = ONE / 2;
      for (let at = 0; at < weights.length; at++) sum += (data[from + at] as number) * (weights[at] as number);
      out[row * to + column] = Math.min(Math.max(Math.floor(sum / ONE), 0), 255);
    }
  });
  return { rows, columns: to, data: out };
}

function turned({ rows, columns, data }: Channel): Channel {
  const out = new Uint8Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) out[column * rows + row] = data[row * columns + column] as number;
  }
  return { rows: columns, columns: rows, data: out };
}

/** A channel of another size. */
export function resized(channel: Channel, rows: number, columns: number): Channel {
  const across = channel.columns === columns ? channel : resizedRows(channel, columns);
  return across.rows === rows ? across : turned(resizedRows(turned(across), rows));
}
