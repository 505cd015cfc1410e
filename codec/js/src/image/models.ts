// Where the model of a file comes from: the file itself, or whoever calls.
import { Bundle, type PackedModel } from "../bundle/bundle.js";
import { isPacked, unpackModel } from "../bundle/package.js";
import { bytesOf, isBytes } from "../container/source.js";
import { ModelError } from "../errors.js";
import type { Kernels } from "../network/kernels.js";
import { ImageModel, type Runtime } from "./model.js";

/** A bundle or its decoding half: its bytes, or a package of one. */
export type Model = ArrayBuffer | ArrayBufferView | PackedModel;

/** Models to choose from by id, or who gets them: `id` is the first 16 hex digits that the file names. */
export type Models = Model | readonly Model[] | ((id: string) => Model | undefined | Promise<Model | undefined>);

const OPEN_MAX = 2;
/** Models that are open, the last one first, and those of bytes that were given before. */
const open = new WeakMap<Kernels, ImageModel[]>();
const opened = new WeakMap<object, ImageModel>();

/**
 * The model that a file names: bytes that are given as the one model, else the one in the file, else the one with its id
 * of those to choose from. Throws ModelError.
 */
export async function findModel(
  kernels: Kernels,
  id: string,
  embedded: Uint8Array | undefined,
  { model: models, runtime }: { model?: Models; runtime?: Runtime },
): Promise<ImageModel> {
  const warm = open.get(kernels) ?? [];
  const alone = isBytes(models);
  const given = (alone ? undefined : embedded) ?? (await chosen(kernels, id, models));
  const known = warm.find((model) => model === opened.get(given));
  const bundle = known?.bundle ?? new Bundle(kernels, isPacked(given) ? await unpackModel(given) : bytesOf(given));
  if (!bundle.id.startsWith(id)) {
    throw new ModelError(`the file needs model ${id}, and ${bundle.name} is model ${bundle.id.slice(0, 16)}`);
  }
  const found =
    warm.find((model) => model.id === bundle.id && model.runtime === runtime) ??
    (runtime ? runtime.open(kernels, bundle) : new ImageModel(kernels, bundle));
  opened.set(given, found);
  open.set(kernels, [found, ...warm.filter((model) => model !== found)].slice(0, OPEN_MAX));
  return found;
}

/** The one with this id. */
async function chosen(kernels: Kernels, id: string, models: Models | undefined): Promise<Model> {
  const given = typeof models === "function" ? await models(id) : models;
  const listed = given === undefined ? [] : Array.isArray(given) ? (given as Model[]) : [given as Model];
  const packages = listed.filter((one): one is PackedModel => isPacked(one));
  const wanted = packages.find((one) => one.id.startsWith(id));
  if (wanted) return wanted;
  const plain = listed.filter(isBytes);
  for (const one of plain) if (plain.length === 1 || new Bundle(kernels, bytesOf(one)).id.startsWith(id)) return one;
  const had = packages.length ? `, only ${packages.map((one) => one.id.slice(0, 16)).join(", ")}` : "";
  throw new ModelError(`there is no model ${id}${had}: give the package of its decoding half, or its .aezm file`);
}
