// A model as entries without kernels take it: bytes, or a package that scripts/model.mjs makes of a bundle.
import { bytesOf, type Input, openSource } from "../container/source.js";
import { ModelError } from "../errors.js";
import { decodeBase64 } from "../network/kernels.js";
import type { PackedModel } from "./bundle.js";

/** The bytes of a model, which are fetched or inflated. Throws ModelError, InvalidArgument. */
export async function modelBytes(model: Input | PackedModel): Promise<Uint8Array> {
  if ("packed" in model) {
    const body = new Response(decodeBase64(model.packed)).body as ReadableStream<Uint8Array<ArrayBuffer>>;
    try {
      const inflated = new Response(body.pipeThrough(new DecompressionStream("deflate-raw")));
      const bytes = new Uint8Array(await inflated.arrayBuffer());
      if (bytes.length === model.size) return bytes;
    } catch (error) {
      throw new ModelError(`the package of model ${model.id.slice(0, 16)} is damaged`, { cause: error });
    }
    throw new ModelError(`the package of model ${model.id.slice(0, 16)} is damaged`);
  }
  if (ArrayBuffer.isView(model) || model instanceof ArrayBuffer) return bytesOf(model);
  const source = await openSource(model);
  try {
    return (await source.read(MODEL_MAX)).slice();
  } finally {
    await source.close();
  }
}

const MODEL_MAX = 64 * 2 ** 20;
