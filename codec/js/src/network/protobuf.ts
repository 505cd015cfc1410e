// The wire format of protobuf, as far as ONNX uses it.
import { ModelError } from "../errors.js";

/** A damaged graph has no hash that a bundle lists: more than this is told to nobody. */
export const unreadable = (): ModelError => new ModelError("a graph of the model cannot be read");

/** A field of a message: a whole number, or the bytes of what has a length. */
export interface Field {
  number: number;
  value: bigint | Uint8Array;
}

/** The fields of a message. Throws ModelError for what is cut off. */
export function* fields(data: Uint8Array): Generator<Field> {
  let at = 0;
  const varint = (): bigint => {
    let low = 0;
    for (let place = 0; place < 4; place++) {
      const octet = byte();
      low |= (octet & 0x7f) << (7 * place);
      if (octet < 0x80) return BigInt(low);
    }
    let number = BigInt(low);
    for (let place = 4n; place < 10n; place++) {
      const octet = byte();
      number |= BigInt(octet & 0x7f) << (7n * place);
      if (octet < 0x80) return BigInt.asIntN(64, number);
    }
    throw unreadable();
  };
  const byte = (): number => {
    if (at >= data.length) throw unreadable();
    return data[at++] as number;
  };
  while (at < data.length) {
    const key = Number(varint());
    const wire = key & 7;
    if (wire === 0) {
      yield { number: key >> 3, value: varint() };
      continue;
    }
    const size = wire === 2 ? Number(varint()) : wire === 1 ? 8 : wire === 5 ? 4 : -1;
    if (size < 0 || size > data.length - at) throw unreadable();
    yield { number: key >> 3, value: data.subarray(at, at + size) };
    at += size;
  }
}

export function message(field: Field): Uint8Array {
  if (typeof field.value === "bigint") throw unreadable();
  return field.value;
}

export function text(field: Field): string {
  return new TextDecoder().decode(message(field));
}

/** The whole numbers of a repeated field, packed or not. */
export function integers(field: Field): number[] {
  if (typeof field.value === "bigint") return [Number(field.value)];
  const found: number[] = [];
  let number = 0n;
  let shift = 0n;
  for (const octet of field.value) {
    number |= BigInt(octet & 0x7f) << shift;
    shift += 7n;
    if (octet < 0x80) {
      found.push(Number(BigInt.asIntN(64, number)));
      number = shift = 0n;
    }
  }
  return found;
}

export function float(field: Field): number {
  const bytes = message(field);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getFloat32(0, true);
}
