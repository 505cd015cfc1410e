// The wire format of protobuf, as far as ONNX uses it.
import { ModelError } from "../errors.js";

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
    throw new ModelError("a graph has a number of more than ten bytes");
  };
  const byte = (): number => {
    if (at >= data.length) throw new ModelError("a graph ends in the middle of a number");
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
    if (size < 0 || size > data.length - at) throw new ModelError("a graph has a field that cannot be read");
    yield { number: key >> 3, value: data.subarray(at, at + size) };
    at += size;
  }
}

export function message(field: Field): Uint8Array {
  if (typeof field.value === "bigint") throw new ModelError("a graph has a number where a message should be");
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
