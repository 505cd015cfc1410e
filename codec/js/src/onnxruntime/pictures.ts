// Detectors of pictures: how abnormal a picture is, and where.
import { sha256 } from "../bundle/sha256.js";
import { type Input, InvalidArgument, internals, ModelError, type PackedModel } from "../index.js";
import { resized } from "./resize.js";
import type { Graph, Numbers, OnnxRuntime } from "./runtime.js";

const GRAPH = "picture_detector";
const SIDE_MAX = 4096;
const MODEL_MAX = 64 * 2 ** 20;
/** Largest relative difference between the probe's score here and where the model was made. */
const PROBE_TOLERANCE = 1e-3;

/** Red, green, blue and straight alpha of 8 bits each, as a canvas gives them, the right way round. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray | Uint8Array;
}

/** What is said of a picture; 1 is the threshold, above it is abnormal. */
export interface PictureScore {
  score: number;
  /** Of each place [height][width] of the model's size. */
  errorMap: Float32Array;
  /** What the model expects, levels 0..255 [colours][height][width]. */
  reconstruction: Float32Array;
}

export class PictureDetector {
  private constructor(
    readonly name: string,
    readonly id: string,
    readonly family: string,
    /** The size that pictures are brought to. */
    readonly height: number,
    readonly width: number,
    /** 1 or 3. */
    readonly colours: number,
    private readonly graph: Graph,
  ) {}

  /** Throws ModelError for another model, or where the runtime does not give the probe's scores; UnsupportedInput. */
  static async open(runtime: OnnxRuntime, model: Input | PackedModel): Promise<PictureDetector> {
    const bytes = "packed" in model ? await internals.unpackModel(model) : await read(model);
    const bundle = new internals.Bundle(sha256, bytes, null);
    if (!bundle.has(`${GRAPH}.onnx`)) throw new ModelError(`model ${bundle.name} is no detector of pictures`);
    const { height, width, colours } = bundle.coding;
    const sound = [height, width].every(
      (side) => Number.isInteger(side) && Number(side) > 0 && Number(side) <= SIDE_MAX,
    );
    if (!sound || (colours !== 1 && colours !== 3)) {
      throw new ModelError(`model ${bundle.name} says pictures of ${width}x${height} in ${colours} colours`);
    }
    const graph = await runtime.graph(bundle.graph(GRAPH), GRAPH);
    const { name, id, family } = bundle;
    const made = new PictureDetector(name, id, family, Number(height), Number(width), colours, graph);
    const probe = bundle.array("probe_image", "|u1");
    // Four bytes each, whatever they stand for.
    const expected = new Float32Array(bundle.array("probe_score", "<f4").data.buffer);
    const { score } = await made.run(Float32Array.from(probe.data as Uint8Array), expected.length);
    const near = expected.every((one, at) => {
      const away = Math.abs((score.data[at] as number) - one);
      return away <= PROBE_TOLERANCE * Math.max(Math.abs(one), 1e-3);
    });
    if (!near) {
      throw new ModelError(
        `model ${name} scores its probe ${score.data.join(", ")} here instead of ${expected.join(", ")}; ` +
          "its threshold would mean nothing",
      );
    }
    return made;
  }

  /** Throws InvalidArgument for what is no picture, and what the runtime throws. */
  async score(picture: Pixels): Promise<PictureScore> {
    const { score, error_map, reconstruction } = await this.run(Float32Array.from(this.prepare(picture)), 1);
    return { score: score.data[0] as number, errorMap: error_map.data, reconstruction: reconstruction.data };
  }

  /** A picture as the graph takes it, [colours][height][width]: over white, grey for one colour, squeezed to its size. */
  prepare({ width, height, data }: Pixels): Uint8Array {
    const count = width * height;
    if (
      !Number.isInteger(width) ||
      !Number.isInteger(height) ||
      width < 1 ||
      height < 1 ||
      data?.length !== 4 * count
    ) {
      throw new InvalidArgument(`${data?.length} bytes are not four for each of ${width}x${height} pixels`);
    }
    const channels = Array.from({ length: this.colours }, () => new Uint8Array(count));
    for (let pixel = 0, from = 0; pixel < count; pixel++, from += 4) {
      const alpha = data[from + 3] as number;
      const over = (at: number) => Math.floor(((data[from + at] as number) * alpha + 255 * (255 - alpha) + 127) / 255);
      const [red, green, blue] = [over(0), over(1), over(2)];
      const levels =
        this.colours === 3 ? [red, green, blue] : [(19595 * red + 38470 * green + 7471 * blue + 32768) >> 16];
      for (const [at, channel] of channels.entries()) channel[pixel] = levels[at] as number;
    }
    const out = new Uint8Array(this.colours * this.height * this.width);
    channels.forEach((channel, at) => {
      const fitted = resized({ rows: height, columns: width, data: channel }, this.height, this.width);
      out.set(fitted.data, at * this.height * this.width);
    });
    return out;
  }

  private async run(data: Float32Array, count: number) {
    const { height, width, colours } = this;
    const shapes = {
      score: [count],
      error_map: [count, height, width],
      reconstruction: [count, colours, height, width],
    };
    if (data.length !== count * colours * height * width) {
      throw new ModelError(`the probe of model ${this.name} has not the shape of its pictures`);
    }
    const found = await this.graph.run({ image: { shape: shapes.reconstruction, data } });
    for (const [output, shape] of Object.entries(shapes)) {
      const gives = found[output]?.shape;
      if (gives?.join() !== shape.join()) {
        throw new ModelError(`model ${this.name} gives ${output} of the shape [${gives}], not [${shape}]`);
      }
    }
    return found as Record<keyof typeof shapes, Numbers>;
  }
}

async function read(model: Input): Promise<Uint8Array> {
  const source = await internals.openSource(model);
  try {
    return (await source.read(MODEL_MAX)).slice();
  } finally {
    await source.close();
  }
}
