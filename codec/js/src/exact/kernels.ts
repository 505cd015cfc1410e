// The compiled kernels of exact samples, and the memory that they work on.
import wasm from "../../build/exact.packed.js";
import { internals } from "../index.js";
import type { Kernels, Pointer } from "../network/kernels.js";

interface Exports {
  memory: WebAssembly.Memory;
  __heap_base: WebAssembly.Global;
  decode_vp8l(bytes: Pointer, size: number, columns: number, rows: number, room: Pointer, roomSize: number): number;
  inflate(result: Pointer, bytes: Pointer, size: number, out: Pointer, limit: number): void;
}

export type ExactKernels = Kernels<Exports>;

/** Throws UnsupportedInput. */
export async function startKernels(): Promise<ExactKernels> {
  return await internals.Kernels.start<Exports>(wasm);
}
