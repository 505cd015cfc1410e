// A model as callers hand it over: bytes, or a package that `aez-model` makes of a bundle.
import { bytesOf, type Input, openSource } from "../container/source.js";
import { ModelError } from "../errors.js";
import { inflated } from "../network/kernels.js";
import type { PackedModel } from "./bundle.js";

const MODEL_MAX = 64 * 2 ** 20;

/** Whether that is called a package, whatever it is. */
export function isPacked(model: unknown): model is PackedModel {
  return typeof Object(model).id === "string";
}

/** The bytes of a package. Throws ModelError. */
export async function unpackModel({ id, size, packed }: PackedModel): Promise<Uint8Array> {
  let cause: unknown;
  try {
    const bytes = await inflated(packed, "deflate-raw");
    if (bytes.length === size) return bytes;
  } catch (error) {
    cause = error;
  }
  throw new ModelError(`the package of model ${id.slice(0, 16)} is damaged`, { cause });
}

/** The bytes of a model, which are fetched or inflated. Throws ModelError, InvalidArgument. */
export async function modelBytes(model: Input | PackedModel): Promise<Uint8Array> {
  if (isPacked(model)) return await unpackModel(model);
  if (ArrayBuffer.isView(model) || model instanceof ArrayBuffer) return bytesOf(model);
  const source = await openSource(model);
  try {
    return (await source.read(MODEL_MAX)).slice();
  } finally {
    await source.close();
  }
}
