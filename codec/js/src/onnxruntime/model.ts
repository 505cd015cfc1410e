// A codec whose graphs of real numbers ONNX Runtime runs; those of whole numbers stay with the kernels, so that symbols
// are the same on every processor.
import type { Bundle } from "../bundle/bundle.js";
import type { Coded, Part, Plane } from "../image/model.js";
import { internals, ModelError } from "../index.js";
import type { Kernels, Pointer } from "../network/kernels.js";
import type { Graph, Numbers, OnnxRuntime } from "./runtime.js";

/** How far the runtime may be from the kernels, in parts of the largest number and one more: half a level of a picture. */
const TOLERANCE = 1e-3;
const WORD = 4;

const count = (shape: readonly number[]): number => shape.reduce((product, length) => product * length, 1);

export class OnnxImageModel extends internals.ImageModel {
  constructor(
    kernels: Kernels,
    bundle: Bundle,
    override readonly runtime: OnnxRuntime,
  ) {
    super(kernels, bundle);
  }

  override async withMeans(coded: Coded, level: number): Promise<Plane> {
    const { geometry: g } = this;
    // Taken before others use the memory.
    const z = this.taken(coded.z);
    const cells = coded.cells[0] * coded.cells[1];
    const residuals = this.taken({ at: coded.residuals, shape: [g.channels * g.cells ** 2, ...coded.cells] });
    const y = this.plane(coded.cells);
    let state: Numbers = z;
    let known = 0; // channels of earlier phases
    for (const [phase, positions] of g.phases.entries()) {
      const residual = { shape: [1, known, ...coded.cells], data: residuals.data.subarray(0, known * cells) };
      const inputs: Record<string, Numbers> = phase ? { state, residual } : { z };
      const channels = positions.length * g.channels;
      const found = await this.ask(`mean${phase}`, inputs, level, {
        mean: [1, channels, ...coded.cells],
        next_state: [1, g.state_channels, ...coded.cells],
      });
      const { mean, next_state } = found as Record<"mean" | "next_state", Numbers>;
      this.put(y, mean.data, residuals.data.subarray(known * cells), phase, coded.cells);
      state = next_state;
      known += channels;
    }
    return y;
  }

  override async withImage<T>(
    { rows, columns, data }: Plane,
    level: number,
    small: boolean,
    use: (image: Pointer, rows: number, columns: number) => T,
  ): Promise<T> {
    const { geometry: g } = this;
    const stride = small ? 1 : g.latent_stride;
    const shape = [1, 3, rows * stride, columns * stride];
    const y = { shape: [1, g.channels, rows, columns], data };
    const layered = !small && "latent" in this.bundle.coding;
    const inputs = layered ? await this.ask("latent_synthesis", { y }, level, { latent: y.shape }) : { y };
    const graph = small ? "thumbnail" : layered ? "decoder" : "synthesis";
    const { image } = await this.ask(graph, inputs, level, { image: shape });
    return this.kernels.within(() => use(this.kernels.put((image as Numbers).data), rows * stride, columns * stride));
  }

  private taken({ at, shape }: Part): Numbers {
    return { shape: [1, ...shape], data: this.kernels.floats(at, count(shape)).slice() };
  }

  /** What a graph gives. Throws ModelError where that has other shapes than `expected`, or the runtime is not right. */
  private async ask(
    name: string,
    inputs: Record<string, Numbers>,
    level: number,
    expected: Record<string, readonly number[]>,
  ): Promise<Record<string, Numbers>> {
    const graph = await this.runtime.once(`${this.id} ${name}`, () => this.opened(name, inputs));
    const found = await graph.run(withLevel(inputs, level));
    for (const [output, shape] of Object.entries(expected)) {
      const gives = found[output]?.shape;
      if (gives?.join() !== shape.join()) {
        throw new ModelError(`the ${name} graph gives ${output} of shape [${gives}], not [${shape}]`);
      }
    }
    return found;
  }

  /** The graph, once it has given what the kernels give for numbers of the same kinds, where those run it. */
  private async opened(name: string, like: Record<string, Numbers>): Promise<Graph> {
    const graph = await this.runtime.graph(this.bundle.graph(name), name);
    const probe = Object.fromEntries(
      Object.entries(like).map(([input, { shape }]) => [input, this.probe(input, shape)]),
    );
    const found = await graph.run(withLevel(probe, this.geometry.level_max / 2));
    const expected = this.byKernels(name, probe, found);
    for (const [output, { data }] of Object.entries(found)) {
      const numbers = expected?.[output];
      const limit = TOLERANCE * (1 + (numbers?.reduce((most, x) => Math.max(most, Math.abs(x)), 0) ?? 0));
      const away = (numbers ?? data).reduce((most, x, at) => Math.max(most, Math.abs(x - (data[at] as number))), 0);
      if (!(away <= limit)) {
        throw new ModelError(
          `ONNX Runtime gives another ${output} of the ${name} graph than it should: pixels would be wrong`,
        );
      }
    }
    return graph;
  }

  /** Whole numbers -3..3 for an input, of the least size that the graph takes. */
  private probe(input: string, shape: readonly number[]): Numbers {
    const { geometry: g } = this;
    const stride = { z: g.hyper_stride, y: g.latent_stride, latent: g.latent_stride }[input] ?? g.state_stride;
    const small = [...shape.slice(0, 2), g.alignment / stride, g.alignment / stride];
    let seed = 1;
    const data = Float32Array.from({ length: count(small) }, () => {
      seed = (48271 * seed) % 2147483647;
      return (seed % 7) - 3;
    });
    return { shape: small, data };
  }

  /** What the kernels make of a graph's inputs, by output; null where they do not run it. */
  private byKernels(
    name: string,
    inputs: Record<string, Numbers>,
    outputs: Record<string, Numbers>,
  ): Record<string, Float32Array> | null {
    const { kernels } = this;
    const bare = (numbers: Numbers, at: Pointer): Part => ({ at, shape: numbers.shape.slice(1) });
    return kernels.within(() => {
      const given = Object.entries(inputs).map(([key, one]) => [key, bare(one, kernels.put(one.data))] as const);
      const made = Object.entries(outputs).map(
        ([key, one]) => [key, bare(one, kernels.take(WORD * one.data.length))] as const,
      );
      try {
        this.network(name).run(Object.fromEntries(given), this.geometry.level_max / 2, Object.fromEntries(made));
      } catch (error) {
        if (error instanceof ModelError) return null;
        throw error;
      }
      return Object.fromEntries(made.map(([key, { at, shape }]) => [key, kernels.floats(at, count(shape)).slice()]));
    });
  }
}

/** The level beside inputs; graphs that do not take it leave it. */
function withLevel(inputs: Record<string, Numbers>, level: number): Record<string, Numbers> {
  return { ...inputs, level: { shape: [1], data: Float32Array.of(level) } };
}
