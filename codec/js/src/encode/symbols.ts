// The payload of a tile: its symbols in the order of coding, their checksum, escapes and words.
import { internals, ModelError } from "../index.js";
import { Ans } from "./ans.js";

const SYMBOL_LIMIT = 2 ** 20;

/** Symbols of one phase, and the table of each by its number; those of table 0 are 0 and not coded. */
export interface Part {
  values: Int32Array;
  index: Uint8Array;
  /** Of each table the sums of weights before each entry, and 2^24. */
  tables: readonly Uint32Array[];
}

/** Payload of a tile of parts in the order of coding. Throws ModelError for symbols that are too large. */
export function payloadOf(parts: readonly Part[]): Uint8Array {
  const orders = parts.map(orderOf);
  const escapes: number[] = [];
  let checksum = 0;
  parts.forEach(({ values, index, tables }, number) => {
    const ordered = Int32Array.from(orders[number] as Uint32Array, (place) => values[place] as number);
    checksum = internals.crc32(new Uint8Array(ordered.buffer), checksum);
    for (const [at, place] of (orders[number] as Uint32Array).entries()) {
      const value = ordered[at] as number;
      const excess = Math.abs(value) - reachOf(tables[index[place] as number] as Uint32Array) - 1;
      if (Math.abs(value) >= SYMBOL_LIMIT) throw new ModelError("the model gives latents that are far too large");
      if (excess >= 0) escapes.push(...internals.varintBytes(2 * excess + (value < 0 ? 1 : 0)));
    }
  });
  const coder = new Ans();
  for (let number = parts.length - 1; number >= 0; number--) {
    putPart(coder, parts[number] as Part, orders[number] as Uint32Array);
  }
  const words = coder.finish();
  const size = internals.varintBytes(escapes.length);
  const payload = new Uint8Array(4 + size.length + escapes.length + 4 * words.length);
  const view = new DataView(payload.buffer);
  view.setUint32(0, checksum, true);
  payload.set(size, 4);
  payload.set(escapes, 4 + size.length);
  let at = 4 + size.length + escapes.length;
  for (const word of words) {
    view.setUint32(at, word, true);
    at += 4;
  }
  return payload;
}

/** The largest magnitude that a table has an entry for; its last entry stands for all others. */
function reachOf(sums: Uint32Array): number {
  return (sums.length - 1) / 2 - 1;
}

/** Places by their tables, and within one in order; none of table 0. */
function orderOf({ index, tables }: Part): Uint32Array {
  const next = new Uint32Array(257);
  for (const table of index) next[table + 1] = (next[table + 1] as number) + 1;
  const coded = index.length - (next[1] as number);
  if (next.subarray(tables.length + 1).some(Boolean)) throw new ModelError("the scale graph gives no index of a table");
  next[1] = 0;
  for (let table = 1; table < 256; table++) next[table + 1] = (next[table + 1] as number) + (next[table] as number);
  const order = new Uint32Array(coded);
  for (let place = 0; place < index.length; place++) {
    const table = index[place] as number;
    if (!table) continue;
    const at = next[table] as number;
    order[at] = place;
    next[table] = at + 1;
  }
  return order;
}

function putPart(coder: Ans, { values, index, tables }: Part, order: Uint32Array): void {
  for (let at = order.length - 1; at >= 0; at--) {
    const place = order[at] as number;
    const sums = tables[index[place] as number] as Uint32Array;
    const reach = reachOf(sums);
    const value = values[place] as number;
    const entry = Math.abs(value) > reach ? 2 * reach + 1 : value + reach;
    const before = sums[entry] as number;
    coder.put(before, (sums[entry + 1] as number) - before);
  }
}
