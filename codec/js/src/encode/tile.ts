// One tile of a picture to the content of its chunk: analysis, quantization, prediction, coding.
import { aligned, type Box, grown, heightOf, widthOf, within } from "../image/boxes.js";
import type { ImageModel } from "../image/model.js";
import { internals, ModelError } from "../index.js";
import type { Pointer } from "../network/kernels.js";
import { type Part, payloadOf } from "./symbols.js";

const WORD = 4;
const PHASES = 3;
const LEARNED = 0;
const SYMBOL_MAX = 2 ** 19;
const HALO_MAX = 512;

/** Red, green and blue of 8 bits with a fourth byte that is not looked at. */
export interface Colours {
  width: number;
  height: number;
  data: ArrayLike<number>;
}

/** A model that encodes: its half of a bundle, and its tables as numbers. */
export class TileEncoder {
  private readonly hyper: readonly Uint32Array[];
  private readonly residual: readonly Uint32Array[];
  private readonly halo: number;

  /** Throws ModelError. */
  constructor(readonly model: ImageModel) {
    this.hyper = internals.readTables(model.bundle, "hyper");
    this.residual = internals.readTables(model.bundle, "residual");
    this.halo = Number(model.bundle.coding.analysis_halo);
    if (!(this.halo >= 0 && this.halo <= HALO_MAX) || this.halo % model.geometry.alignment) {
      throw new ModelError(`the model's manifest says analysis_halo = ${model.bundle.coding.analysis_halo}`);
    }
  }

  /** Content of the tile that a box of the picture is, at a level. */
  encode(picture: Colours, tile: Box, level: number): Uint8Array {
    return this.model.kernels.within(() => {
      const { alignment: unit } = this.model.geometry;
      const box = aligned(tile, unit);
      const whole = aligned({ left: 0, top: 0, right: picture.width, bottom: picture.height }, unit);
      const { y, z } = this.analysis(picture, box, grown(box, this.halo, whole), level);
      const parts = [...this.hyperParts(z, box, level), ...this.residualParts(y, z, box, level)];
      const payload = payloadOf(parts);
      const content = new Uint8Array(1 + payload.length);
      content[0] = LEARNED;
      content.set(payload, 1);
      return content;
    });
  }

  /** y [channels][rows][columns] before quantization, and whole numbers z, of a box, from what is `seen` around it. */
  private analysis(picture: Colours, box: Box, seen: Box, level: number): { y: Float32Array; z: Int32Array } {
    const { kernels, geometry: g, bundle } = this.model;
    const [height, width] = [heightOf(seen), widthOf(seen)];
    return kernels.within(() => {
      const image = { at: kernels.take(WORD * 3 * height * width), shape: [3, height, width] };
      planes(picture, seen, kernels.floats(image.at, 3 * height * width));
      const room = (channels: number, stride: number) => {
        const shape = [channels, height / stride, width / stride];
        return { at: kernels.take((WORD * channels * height * width) / stride ** 2), shape };
      };
      const [y, z] = [room(g.channels, g.latent_stride), room(g.hyper_channels, g.hyper_stride)];
      if ("latent" in bundle.coding) {
        const [mean, log_variance] = [room(g.channels, g.latent_stride), room(g.channels, g.latent_stride)];
        this.model.network("encoder").run({ image }, level, { mean, log_variance });
        this.model.network("latent_analysis").run({ latent: mean }, level, { y, z });
      } else this.model.network("analysis").run({ image }, level, { y, z });
      const part = (from: { at: Pointer; shape: number[] }, stride: number) => {
        const [channels, rows, columns] = from.shape as [number, number, number];
        return cropped(kernels.floats(from.at, channels * rows * columns), rows, columns, within(box, seen, stride));
      };
      return { y: part(y, g.latent_stride), z: integers(part(z, g.hyper_stride)) };
    });
  }

  private hyperParts(z: Int32Array, box: Box, level: number): Part[] {
    const { kernels, geometry: g, tables } = this.model;
    const [rows, columns] = [heightOf(box) / g.hyper_stride, widthOf(box) / g.hyper_stride];
    const [at, numbers, index] = [kernels.put(z), kernels.put(tables.hyperNumbers(level)), kernels.take(z.length)];
    return Array.from({ length: PHASES }, (_, phase) => {
      kernels.run.hyper_tables(at, g.hyper_channels, rows, columns, phase, numbers, index);
      return { values: z, index: kernels.bytes(index, z.length).slice(), tables: this.hyper };
    });
  }

  /** What prediction leaves of y, phase after phase, each from the residuals of those before. */
  private residualParts(y: Float32Array, z: Int32Array, box: Box, level: number): Part[] {
    const { model } = this;
    const { kernels, geometry: g } = model;
    const hyper = [g.hyper_channels, heightOf(box) / g.hyper_stride, widthOf(box) / g.hyper_stride];
    const zFloats = { at: kernels.put(Float32Array.from(z)), shape: hyper };
    const cells = [heightOf(box) / g.state_stride, widthOf(box) / g.state_stride] as const;
    const plane = g.channels * cells[0] * cells[1];
    const residuals = kernels.take(WORD * plane * g.cells * g.cells);
    const state = { scale: model.states(cells), mean: model.states(cells) };
    let coded = 0;
    return g.phases.map((positions, phase): Part => {
      const count = positions.length * plane;
      const shape = [positions.length * g.channels, ...cells];
      const known = { at: residuals, shape: [coded * g.channels, ...cells] };
      const run = (name: "scale" | "mean", output: string, at: Pointer) => {
        const [now, next] = state[name];
        const inputs = phase ? { state: now, residual: known } : { z: zFloats };
        model.network(`${name}${phase}`).run(inputs, level, { [output]: { at, shape }, next_state: next });
        state[name] = [next, now];
      };
      const part = kernels.within(() => {
        const [numbers, bytes] = [kernels.take(WORD * count), kernels.take(count)];
        run("scale", "index", numbers);
        if (!kernels.run.to_indices(bytes, numbers, count))
          throw new ModelError("the scale graph gives no indices 0..255");
        const index = kernels.bytes(bytes, count).slice();
        run("mean", "mean", numbers);
        const wanted = phaseOf(y, positions, g.cells, g.channels, cells);
        const means = kernels.floats(numbers, count);
        for (let i = 0; i < count; i++) wanted[i] = index[i] ? (wanted[i] as number) - (means[i] as number) : 0;
        return { values: integers(wanted), index, tables: this.residual };
      });
      kernels.floats(residuals + WORD * coded * plane, count).set(part.values);
      coded += positions.length;
      return part;
    });
  }
}

/** Numbers 0..1 of a box [3][rows][columns], which repeats the picture's edges where it reaches over them. */
function planes({ width, height, data }: Colours, box: Box, out: Float32Array): void {
  const factor = Math.fround(1 / 255);
  let to = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let row = box.top; row < box.bottom; row++) {
      const start = 4 * width * Math.min(row, height - 1) + channel;
      for (let column = box.left; column < box.right; column++) {
        out[to++] = (data[start + 4 * Math.min(column, width - 1)] as number) * factor;
      }
    }
  }
}

/** Part of [channels][rows][columns]. */
function cropped(from: Float32Array, rows: number, columns: number, part: Box): Float32Array {
  const [height, width] = [heightOf(part), widthOf(part)];
  const channels = from.length / (rows * columns);
  const out = new Float32Array(channels * height * width);
  for (let channel = 0, to = 0; channel < channels; channel++) {
    for (let row = part.top; row < part.bottom; row++, to += width) {
      const start = (channel * rows + row) * columns + part.left;
      out.set(from.subarray(start, start + width), to);
    }
  }
  return out;
}

/** The latents of one phase, position after position. */
function phaseOf(
  y: Float32Array,
  positions: readonly (readonly [number, number])[],
  side: number,
  channels: number,
  [rows, columns]: readonly [number, number],
): Float32Array {
  const out = new Float32Array(positions.length * channels * rows * columns);
  let to = 0;
  for (const [down, right] of positions) {
    for (let channel = 0; channel < channels; channel++) {
      for (let row = 0; row < rows; row++) {
        let from = (channel * rows * side + row * side + down) * columns * side + right;
        for (let column = 0; column < columns; column++, from += side) out[to++] = y[from] as number;
      }
    }
  }
  return out;
}

/** Nearest whole numbers, of halves the even ones. Throws ModelError. */
function integers(values: Float32Array): Int32Array {
  const out = new Int32Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const value = values[i] as number;
    if (!(Math.abs(value) <= SYMBOL_MAX)) throw new ModelError("the model gives latents that are no sound numbers");
    const down = Math.floor(value);
    const rest = value - down;
    out[i] = rest > 0.5 || (rest === 0.5 && down % 2) ? down + 1 : down;
  }
  return out;
}
