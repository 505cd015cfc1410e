// The models that encode: those that lie beside the page, and those that are dropped onto it.
import { internals, ModelError } from "../index.js";

/** `id`: its first 16 hex digits. */
export interface Encoder {
  id: string;
  name: string;
  bytes(): Promise<ArrayBuffer>;
}

/** What is in an `.aezm` that was dropped. */
export interface Dropped {
  id: string;
  name: string;
  encodes: boolean;
  decodes: boolean;
}

const FOLDER = "../models/";

/** Those that `models/encoders.json` lists, the first one being the one to begin with; none where there is no list. */
export async function servedEncoders(): Promise<Encoder[]> {
  try {
    const response = await fetch(`${FOLDER}encoders.json`);
    const listed = (await response.json()) as { id: string; name: string }[];
    return listed.map(({ id, name }) => ({ id, name, bytes: once(() => load(id, name)) }));
  } catch {
    return []; // a static server without it
  }
}

/** Reads a bundle, its hashes checked. Throws ModelError. */
export async function look(bytes: ArrayBuffer): Promise<Dropped> {
  return await internals.withKernels(async (starting) => {
    const bundle = new internals.Bundle(await starting, new Uint8Array(bytes), undefined, true);
    const members = bundle.coding.decoder_members as string[];
    return {
      id: bundle.id.slice(0, 16),
      name: bundle.name,
      encodes: bundle.has(`${"latent" in bundle.coding ? "latent_" : ""}analysis.onnx`),
      decodes: members.every((name) => bundle.has(name)),
    };
  });
}

async function load(id: string, name: string): Promise<ArrayBuffer> {
  const response = await fetch(`${FOLDER}${id}.encoder.aezm`).catch((error: Error) => error);
  if (!(response instanceof Error) && response.ok) return await response.arrayBuffer();
  const why = response instanceof Error ? response.message : `${response.status} ${response.statusText}`.trim();
  throw new ModelError(`the encoding half of ${name} could not be fetched: ${why}`);
}

/** Fetched for the first that asks; after a failure again. */
function once(work: () => Promise<ArrayBuffer>): () => Promise<ArrayBuffer> {
  let found: Promise<ArrayBuffer> | null = null;
  return () => {
    found ??= work().catch((error: unknown) => {
      found = null;
      throw error;
    });
    return found;
  };
}
