// The second file of the decoder, which is loaded when a picture needs it.
import { UnsupportedInput } from "../errors.js";
import type { Kernels } from "../network/kernels.js";

type Module = typeof import("../exact/index.js");
/** What it does for a picture, with kernels of its own. */
export type Exact = Awaited<ReturnType<Module["openExact"]>>;

let module: Module | null = null;

/** Takes the module from whoever loads it before: where `import()` is forbidden, as in service workers. */
export function provideExact(given: Module): void {
  module = given;
}

/** Throws UnsupportedInput where it cannot be loaded. */
export async function exactOf(kernels: Kernels): Promise<Exact> {
  try {
    module ??= await import("../exact/index.js");
  } catch (error) {
    throw new UnsupportedInput("the picture needs exact.js, which could not be loaded", { cause: error });
  }
  return await module.openExact(kernels);
}
