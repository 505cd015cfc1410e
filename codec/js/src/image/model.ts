// An opened model: the graphs of a bundle, its tables, and the latents of a tile.
import type { Bundle } from "../bundle/bundle.js";
import { TileTables } from "../entropy/tables.js";
import { TileDecoder } from "../entropy/tile.js";
import { CorruptFile, ModelError } from "../errors.js";
import type { Kernels, Pointer } from "../network/kernels.js";
import { Network } from "../network/network.js";
import { type Geometry, geometryOf } from "./geometry.js";

/** Numbers [channels][rows][columns] of a batch of one. */
export interface Plane {
  rows: number;
  columns: number;
  data: Float32Array;
}

interface Part {
  at: Pointer;
  shape: readonly number[];
}

const WORD = 4;

/** Runs a bundle's graphs on one tile at a time. */
export class ImageModel {
  readonly geometry: Geometry;
  readonly tables: TileTables;
  readonly #networks = new Map<string, Network>();

  /** Throws ModelError. */
  constructor(
    readonly kernels: Kernels,
    readonly bundle: Bundle,
  ) {
    this.geometry = geometryOf(bundle.coding);
    this.tables = kernels.keeping(() => new TileTables(kernels, bundle, this.geometry.hyper_channels));
  }

  get id(): string {
    return this.bundle.id;
  }

  get hasThumbnail(): boolean {
    return this.bundle.has("thumbnail.onnx");
  }

  /**
   * y of a tile of so many pixels, multiples of the alignment, from its symbols. `onPhase` is called with the checksum
   * of all symbols behind z and behind each phase. Throws CorruptFile, ModelError.
   */
  latents(
    symbols: Uint8Array,
    height: number,
    width: number,
    level: number,
    onPhase: (checksum: number) => void,
  ): Plane {
    return this.kernels.within(() => this.#decode(symbols, height, width, level, onPhase));
  }

  #decode(
    symbols: Uint8Array,
    height: number,
    width: number,
    level: number,
    onPhase: (checksum: number) => void,
  ): Plane {
    const { kernels, geometry: g } = this;
    const decoder = new TileDecoder(kernels, this.tables, symbols);
    const zShape = [g.hyper_channels, height / g.hyper_stride, width / g.hyper_stride] as const;
    const zCount = zShape[0] * zShape[1] * zShape[2];
    const z = decoder.hyper(...zShape, level);
    onPhase(decoder.checksum);
    const zFloats = kernels.take(WORD * zCount);
    kernels.run.to_floats(zFloats, z, zCount);

    const cells = [height / g.state_stride, width / g.state_stride] as const;
    const plane = g.channels * cells[0] * cells[1];
    const y: Plane = {
      rows: height / g.latent_stride,
      columns: width / g.latent_stride,
      data: new Float32Array(plane * g.cells * g.cells),
    };
    // The residuals of all phases, one behind the other, and each phase's index, symbols and mean.
    const residuals = kernels.take(WORD * plane * g.cells * g.cells);
    const state = { scale: this.states(cells), mean: this.states(cells) };
    let coded = 0; // positions of earlier phases
    for (const [phase, positions] of g.phases.entries()) {
      const count = positions.length * plane;
      const shape = [positions.length * g.channels, ...cells];
      const known = { at: residuals, shape: [coded * g.channels, ...cells] };
      const found = kernels.within(() => {
        const run = (name: "scale" | "mean", output: string, at: Pointer) => {
          const [now, next] = state[name];
          const inputs = phase ? { state: now, residual: known } : { z: { at: zFloats, shape: zShape } };
          this.network(`${name}${phase}`).run(inputs, level, { [output]: { at, shape }, next_state: next });
          state[name] = [next, now];
        };
        const [numbers, index, symbols] = [kernels.take(WORD * count), kernels.take(count), kernels.take(WORD * count)];
        run("scale", "index", numbers);
        if (!kernels.run.to_indices(index, numbers, count))
          throw new ModelError("the scale graph gives no indices 0..255");
        decoder.residual(index, count, symbols);
        const here = residuals + WORD * coded * plane;
        kernels.run.to_floats(here, symbols, count);
        onPhase(decoder.checksum);
        run("mean", "mean", numbers);
        const [means, steps] = [kernels.floats(numbers, count), kernels.floats(here, count)];
        return means.map((mean, at) => mean + (steps[at] as number));
      });
      this.#put(y, found, positions, cells);
      coded += positions.length;
    }
    decoder.finish();
    return y;
  }

  /** Two rooms for a state, of which one is read while the other is written. */
  states(cells: readonly number[]): [Part, Part] {
    const shape = [this.geometry.state_channels, ...cells];
    const bytes = WORD * shape.reduce((product, length) => product * length, 1);
    return [
      { at: this.kernels.take(bytes), shape },
      { at: this.kernels.take(bytes), shape },
    ];
  }

  /** The latents of one phase, position after position, to their places in y. */
  #put(y: Plane, part: Float32Array, positions: Geometry["phases"][number], cells: readonly [number, number]): void {
    const { cells: n, channels } = this.geometry;
    const [height, width] = cells;
    let from = 0;
    for (const [row, column] of positions) {
      for (let channel = 0; channel < channels; channel++) {
        for (let i = 0; i < height; i++) {
          let to = (channel * y.rows + n * i + row) * y.columns + column;
          for (let j = 0; j < width; j++, to += n) y.data[to] = part[from++] as number;
        }
      }
    }
  }

  /**
   * What `use` makes of the picture [3][rows][columns] of latents, which lies where it is told; `small`: of their own
   * size, from the graph for thumbnails. Throws ModelError.
   */
  withImage<T>(y: Plane, level: number, small: boolean, use: (image: Pointer, rows: number, columns: number) => T): T {
    const { kernels, geometry: g } = this;
    return kernels.within(() => {
      const stride = small ? 1 : g.latent_stride;
      const shape = [3, y.rows * stride, y.columns * stride] as const;
      const input = { at: kernels.put(y.data), shape: [g.channels, y.rows, y.columns] };
      const image = { at: kernels.take(WORD * shape[0] * shape[1] * shape[2]), shape };
      if (small) {
        this.network("thumbnail").run({ y: input }, level, { image });
      } else if ("latent" in this.bundle.coding) {
        const latent = { at: kernels.take(WORD * y.data.length), shape: input.shape };
        this.network("latent_synthesis").run({ y: input }, level, { latent });
        this.network("decoder").run({ latent }, level, { image });
      } else {
        this.network("synthesis").run({ y: input }, level, { image });
      }
      return use(image.at, shape[1], shape[2]);
    });
  }

  network(name: string): Network {
    let found = this.#networks.get(name);
    if (!found) {
      found = new Network(this.kernels, this.bundle.graph(name), name);
      this.#networks.set(name, found);
    }
    return found;
  }
}

/** Throws CorruptFile for a header that no encoder writes for a model of this geometry. */
export function checkHeader(level: number, tile: number, geometry: Geometry): void {
  if (level > geometry.level_max) throw new CorruptFile(`the header says quality level ${level}`, "header");
  if (tile % geometry.alignment) throw new CorruptFile(`the header says tiles of ${tile} pixels`, "header");
}
