// An opened model: the graphs of a bundle, its tables, and the latents of a tile.
import type { Bundle } from "../bundle/bundle.js";
import { TileTables } from "../entropy/tables.js";
import { TileDecoder } from "../entropy/tile.js";
import { CorruptFile, ModelError } from "../errors.js";
import { size } from "../network/fold.js";
import type { Kernels, Pointer } from "../network/kernels.js";
import { Network } from "../network/network.js";
import { type Geometry, geometryOf } from "./geometry.js";

/** Numbers [channels][rows][columns] of a batch of one. */
export interface Plane {
  rows: number;
  columns: number;
  data: Float32Array;
}

/** Numbers in the kernels' memory. */
export interface Part {
  at: Pointer;
  shape: readonly number[];
}

/** What a tile holds: z, and the residuals of all phases, one behind the other, each of so many cells. */
export interface Coded {
  z: Part;
  residuals: Pointer;
  cells: readonly [number, number];
}

/** Who runs the graphs of real numbers in place of the kernels: `OnnxRuntime` of `aez-codec/onnxruntime`. */
export interface Runtime {
  open(kernels: Kernels, bundle: Bundle): ImageModel;
}

const WORD = 4;

/** Runs a bundle's graphs on one tile at a time. */
export class ImageModel {
  readonly geometry: Geometry;
  readonly tables: TileTables;
  /** What runs its graphs of real numbers, where the kernels do not. */
  declare readonly runtime?: Runtime;
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
  ): Plane | Promise<Plane> {
    const { kernels, geometry: g } = this;
    return kernels.within(() => {
      const decoder = new TileDecoder(kernels, this.tables, symbols);
      const shape = [g.hyper_channels, height / g.hyper_stride, width / g.hyper_stride] as const;
      const count = size(shape);
      const numbers = decoder.hyper(...shape, level);
      onPhase(decoder.checksum);
      const z = { at: kernels.take(WORD * count), shape };
      kernels.run.to_floats(z.at, numbers, count);
      const cells = [height / g.state_stride, width / g.state_stride] as const;
      const residuals = kernels.take(WORD * g.channels * cells[0] * cells[1] * g.cells * g.cells);
      const coded = { z, residuals, cells };
      this.#phases(coded, "scale", "index", level, (at, from, count) => {
        const [index, symbols] = [kernels.take(count), kernels.take(WORD * count)];
        if (!kernels.run.to_indices(index, at, count)) throw new ModelError("the scale graph gives no indices 0..255");
        decoder.residual(index, count, symbols);
        kernels.run.to_floats(from, symbols, count);
        onPhase(decoder.checksum);
      });
      decoder.finish();
      // Table numbers come of whole numbers alone, so that means may be added afterwards.
      return this.withMeans(coded, level);
    });
  }

  /** y from what was coded of it and its means. */
  withMeans(coded: Coded, level: number): Plane | Promise<Plane> {
    const y = this.plane(coded.cells);
    this.#phases(coded, "mean", "mean", level, (at, from, count, phase) => {
      this.put(y, this.kernels.floats(at, count), this.kernels.floats(from, count), phase, coded.cells);
    });
    return y;
  }

  /** Runs one graph of each phase: `use` gets what it gives, and where the residuals of the phase lie. */
  #phases(
    { z, residuals, cells }: Coded,
    name: "scale" | "mean",
    output: string,
    level: number,
    use: (at: Pointer, residuals: Pointer, count: number, phase: number) => void,
  ): void {
    const { kernels, geometry: g } = this;
    kernels.within(() => {
      let [now, next] = this.states(cells);
      let coded = 0; // channels of earlier phases
      for (const [phase, positions] of g.phases.entries()) {
        const shape = [positions.length * g.channels, ...cells] as const;
        const count = shape[0] * cells[0] * cells[1];
        const known = { at: residuals, shape: [coded, ...cells] };
        kernels.within(() => {
          const at = kernels.take(WORD * count);
          const inputs = phase ? { state: now, residual: known } : { z };
          this.network(name + phase).run(inputs, level, { [output]: { at, shape }, next_state: next });
          use(at, residuals + WORD * coded * cells[0] * cells[1], count, phase);
        });
        [now, next] = [next, now];
        coded += shape[0];
      }
    });
  }

  plane([height, width]: Coded["cells"]): Plane {
    const { channels, cells: n } = this.geometry;
    return { rows: n * height, columns: n * width, data: new Float32Array(channels * n * n * height * width) };
  }

  /** Two rooms for a state, of which one is read while the other is written. */
  states(cells: readonly number[]): [Part, Part] {
    const shape = [this.geometry.state_channels, ...cells];
    const bytes = WORD * size(shape);
    return [
      { at: this.kernels.take(bytes), shape },
      { at: this.kernels.take(bytes), shape },
    ];
  }

  /** The sums of means and residuals of one phase, position after position, to their places in y. */
  put(y: Plane, means: Float32Array, residuals: Float32Array, phase: number, [height, width]: Coded["cells"]): void {
    const { cells: n, channels, phases } = this.geometry;
    let from = 0;
    for (const [row, column] of phases[phase] ?? []) {
      for (let channel = 0; channel < channels; channel++) {
        for (let i = 0; i < height; i++) {
          let to = (channel * y.rows + n * i + row) * y.columns + column;
          for (let j = 0; j < width; j++, to += n) y.data[to] = (means[from] as number) + (residuals[from++] as number);
        }
      }
    }
  }

  /**
   * What `use` makes of the picture [3][rows][columns] of latents, which lies where it is told; `small`: of their own
   * size, from the graph for thumbnails. Throws ModelError.
   */
  withImage<T>(
    y: Plane,
    level: number,
    small: boolean,
    use: (image: Pointer, rows: number, columns: number) => T,
  ): T | Promise<T> {
    const { kernels, geometry: g } = this;
    return kernels.within(() => {
      const stride = small ? 1 : g.latent_stride;
      const shape = [3, y.rows * stride, y.columns * stride] as const;
      const input = { at: kernels.put(y.data), shape: [g.channels, y.rows, y.columns] };
      const image = { at: kernels.take(WORD * size(shape)), shape };
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
