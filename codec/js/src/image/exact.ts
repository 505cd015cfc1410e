// The second file of the decoder, which is loaded when a picture needs it.
import type { Header } from "../container/header.js";
import type { Input } from "../container/source.js";
import { UnsupportedInput } from "../errors.js";
import type { ChunkInfo } from "../exact/contents.js";
import type { Kernels } from "../network/kernels.js";

type Module = typeof import("../exact/index.js");
/** What it does for a picture, with kernels of its own. */
export type Exact = Awaited<ReturnType<Module["openExact"]>>;

let given: Module | null = null;

/** Takes the module from whoever loads it before: where `import()` is forbidden, as in service workers. */
export function provideExact(module: Module): void {
  given = module;
}

async function load(): Promise<Module> {
  try {
    given ??= await import("../exact/index.js");
    return given;
  } catch (error) {
    throw new UnsupportedInput("this needs exact.js, which could not be loaded", { cause: error });
  }
}

/** Throws UnsupportedInput where it cannot be loaded. */
export async function exactOf(kernels: Kernels): Promise<Exact> {
  return await (await load()).openExact(kernels);
}

/**
 * The header and the known chunks between it and the index, of which every checksum is checked. Throws CorruptFile,
 * TruncatedFile, VersionError.
 */
export async function contents(input: Input): Promise<{ header: Header; chunks: ChunkInfo[] }> {
  return await (await load()).contents(input);
}
