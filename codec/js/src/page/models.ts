// The models of a page: packages that it brings, and addresses where halves that decode lie.
import { type Model, ModelError, type PackedModel } from "../index.js";
import { absolute } from "./fetching.js";

/**
 * A package of a decoding half, the address of one with `{id}` for the first 16 hex digits of its id (an `.aezm`, or a
 * module that holds a package), or a function that gives one.
 */
export type ModelSource = PackedModel | string | ((id: string) => Model | undefined | Promise<Model | undefined>);

const sources: ModelSource[] = [];
/** What was fetched or is being fetched, by address. */
const fetched = new Map<string, Promise<Model>>();

/** Makes models known to all pictures of the page; those given first are looked at first. */
export function models(...given: ModelSource[]): void {
  sources.push(...given);
}

/** The model with an id, from the sources given here and then from those of the page; undefined where none has it. */
export async function modelOf(id: string, first: readonly ModelSource[] = []): Promise<Model | undefined> {
  let failed: unknown;
  for (const source of [...first, ...sources]) {
    try {
      const found = await ask(source, id);
      if (found && (!isPacked(found) || found.id.startsWith(id))) return found;
    } catch (error) {
      failed ??= error;
    }
  }
  if (failed) throw failed;
  return undefined;
}

function isPacked(model: Model): model is PackedModel {
  return "packed" in model;
}

async function ask(source: ModelSource, id: string): Promise<Model | undefined> {
  if (typeof source === "function") return await source(id);
  if (typeof source !== "string") return source;
  const address = absolute(source.replaceAll("{id}", id));
  const known = fetched.get(address);
  if (known) return await known;
  const found = load(address, id);
  fetched.set(address, found);
  found.catch(() => fetched.delete(address)); // the next picture may try again
  return await found;
}

async function load(address: string, id: string): Promise<Model> {
  try {
    if (/\.m?js$/.test(new URL(address).pathname)) {
      return (await import(/* webpackIgnore: true */ /* @vite-ignore */ address)).default as PackedModel;
    }
    const response = await fetch(address);
    if (response.ok) return await response.arrayBuffer();
    throw new Error(`${response.status} ${response.statusText}`.trim());
  } catch (error) {
    const why = (error as Error).message;
    throw new ModelError(`model ${id} could not be fetched from ${address}: ${why}`, { cause: error });
  }
}
