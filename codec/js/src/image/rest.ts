// The second file of the decoder, which is loaded when a picture needs it.
import type { Header } from "../container/header.js";
import type { Input } from "../container/source.js";
import { UnsupportedInput } from "../errors.js";
import type { Kernels } from "../network/kernels.js";
import type { ChunkInfo } from "../rest/contents.js";

type Module = typeof import("../rest/index.js");
/** What it does for a picture, with kernels of its own. */
export type Rest = Awaited<ReturnType<Module["openRest"]>>;

let given: Module | null = null;

/** Takes the module from whoever loads it before: where `import()` is forbidden, as in service workers. */
export function provideRest(module: Module): void {
  given = module;
}

/** Loaded before, for what gives at once. */
export function theRest(): Module {
  return given as Module;
}

export async function loadRest(): Promise<Module> {
  try {
    given ??= await import("../rest/index.js");
    return given;
  } catch (error) {
    throw new UnsupportedInput("this needs rest.js, which could not be loaded", { cause: error });
  }
}

/** Throws UnsupportedInput where it cannot be loaded. */
export async function restOf(kernels: Kernels): Promise<Rest> {
  return await (await loadRest()).openRest(kernels);
}

/**
 * The header and the known chunks between it and the index, of which every checksum is checked. Throws CorruptFile,
 * TruncatedFile, VersionError.
 */
export async function contents(input: Input): Promise<{ header: Header; chunks: ChunkInfo[] }> {
  return await (await loadRest()).contents(input);
}
