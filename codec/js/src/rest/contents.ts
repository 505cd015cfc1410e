// What a file holds, without its pictures.
import { type Header, type Input, internals } from "../index.js";

const { NAMES, openSource, Reader } = internals;
/** Milliseconds after which others get their turn. */
const TURN = 12;
const KINDS = ["learned", "exact", "mixed"] as const;

/** A chunk: all bytes that it takes; the number of a tile, -1 in others; and of which kind that is. */
export interface ChunkInfo {
  name: string;
  bytes: number;
  tile: number;
  kind: (typeof KINDS)[number] | null;
}

/**
 * The header and the known chunks between it and the index, of which every checksum is checked. Throws CorruptFile,
 * TruncatedFile, VersionError.
 */
export async function contents(input: Input): Promise<{ header: Header; chunks: ChunkInfo[] }> {
  const source = await openSource(input);
  try {
    const reader = await Reader.open(source);
    const chunks: ChunkInfo[] = [];
    let turn = performance.now();
    for await (const { type, tile, bytes, content } of reader.chunks()) {
      chunks.push({ name: NAMES[type] ?? type, bytes, tile, kind: tile < 0 ? null : (KINDS[content[0] ?? 3] ?? null) });
      if (performance.now() - turn < TURN) continue;
      await new Promise((resolve) => setTimeout(resolve));
      turn = performance.now();
    }
    return { header: reader.header, chunks };
  } finally {
    await source.close();
  }
}
