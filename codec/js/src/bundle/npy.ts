// The `.npy` arrays of a bundle: version 1.0 with plain numbers.
import { ModelError } from "../errors.js";

type Numbers = Uint8Array | Uint32Array | BigInt64Array;

const START =
  /^.{8}(..)\{'descr': '([<|][iufb][1248])', 'fortran_order': False, 'shape': \((\d{1,9}(?:, ?\d{1,9}){0,7},?)?\), \} *\n/s;
const SIGNATURE = "\x93NUMPY\x01\x00";
const HEAD_MAX = 4096;

/** Shape and numbers of an array, of the type that is asked for: `|u1`, `<u4` or `<i8`. Throws ModelError. */
export function parseNpy(data: Uint8Array, name: string, type: string): { shape: number[]; data: Numbers } {
  const head = String.fromCharCode(...data.subarray(0, HEAD_MAX));
  const start = START.exec(head);
  const [length, found, listed = ""] = [start?.[1] ?? "", start?.[2], start?.[3]];
  const end = start?.[0].length ?? 0;
  if (!start || !head.startsWith(SIGNATURE) || end !== 10 + length.charCodeAt(0) + 256 * length.charCodeAt(1)) {
    throw new ModelError(`its array ${name} is no .npy file of plain numbers`);
  }
  const shape = listed
    .split(",")
    .filter((text) => text.trim())
    .map(Number);
  const bytes = data.slice(end);
  const size = Number(type[2]);
  const count = shape.reduce((product, axis) => product * axis, 1);
  if (found !== type || count * size !== bytes.length) {
    throw new ModelError(`its array ${name} of type ${found} and shape [${shape}] is not what it should be`);
  }
  if (size === 1) return { shape, data: bytes };
  return { shape, data: size === 4 ? new Uint32Array(bytes.buffer) : new BigInt64Array(bytes.buffer) };
}
