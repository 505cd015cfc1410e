// Threads of Node, where there are no workers of the web; found without an import that a bundler would follow.

interface NodeWorker {
  postMessage(message: unknown, transfer?: readonly unknown[]): void;
  on(event: string, listener: (value: never) => void): void;
  terminate(): unknown;
  ref(): void;
  unref(): void;
}

export interface NodeThreads {
  Worker: new (url: URL) => NodeWorker;
  parentPort: { on(event: string, listener: (value: never) => void): void } | null;
}

/** Node's module of threads; null elsewhere. */
export function nodeThreads(): NodeThreads | null {
  if (typeof (globalThis as { Worker?: unknown }).Worker === "function") return null;
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => unknown } };
  const isWorkerOfTheWeb = typeof (globalThis as { importScripts?: unknown }).importScripts === "function";
  if (isWorkerOfTheWeb) return null;
  return (process?.getBuiltinModule?.("node:worker_threads") as NodeThreads | undefined) ?? null;
}
