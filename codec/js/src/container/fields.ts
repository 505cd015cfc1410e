// Numbers in the bytes: LEB128, and fields read one after another.

import { CorruptFile } from "../errors.js";

/** What does not fit into a payload; whoever reads it says what that means for the file. */
export class FieldError extends Error {}

/** What `read` gives; what does not fit makes the `chunk` corrupt, which `what` begins to tell. */
export function reading<T>(what: string, chunk: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new CorruptFile(`${what}: ${error.message}`, chunk);
  }
}

/** A number of four bytes. */
export function uint32(bytes: Uint8Array, at = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

/** Reads numbers from a payload that passed its checksum. */
export class Fields {
  position = 0;

  constructor(readonly data: Uint8Array) {}

  /** Count of bytes that are left. */
  get rest(): number {
    return this.data.length - this.position;
  }

  take(count: number): Uint8Array {
    if (count > this.rest) throw new FieldError("a field is cut off");
    this.position += count;
    return this.data.subarray(this.position - count, this.position);
  }

  byte(): number {
    return this.take(1)[0] as number;
  }

  /** A canonical LEB128 number below 2^63; above 2^53 it is near it. */
  varint(): number {
    let number = 0;
    for (let place = 0; place < 9; place++) {
      const octet = this.byte();
      number += (octet & 0x7f) * 2 ** (7 * place);
      if (octet < 0x80) {
        if (place && !octet) break;
        return number;
      }
    }
    throw new FieldError("a number is too long");
  }

  float32(): number {
    const taken = this.take(4);
    return new DataView(taken.buffer, taken.byteOffset).getFloat32(0, true);
  }
}

/** LEB128 of a non-negative number. */
export function varintBytes(number: number): number[] {
  const octets: number[] = [];
  for (let left = number; ; left = Math.floor(left / 128)) {
    if (left < 128) return [...octets, left];
    octets.push((left % 128) | 0x80);
  }
}
