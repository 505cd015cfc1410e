// The members of a zip archive that is stored without compression.
import { crc32 } from "../container/crc32.js";
import { ModelError } from "../errors.js";

const NAME = /^(manifest\.json|[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(onnx|npy))$/;
const MANIFEST_MAX = 2 ** 20;
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const COMMENT_MAX = 65535;
const MEMBERS_MAX = 64;
const MEMBER_MAX = 32 * 2 ** 20;
const BUNDLE_MAX = 64 * 2 ** 20;

const unsound = (cause?: unknown): ModelError => new ModelError("the bundle is no sound zip file", { cause });

/** Bytes by name. Throws ModelError. */
export function unzip(data: Uint8Array): Map<string, Uint8Array> {
  try {
    if (data.length > BUNDLE_MAX) throw unsound();
    return entries(data, new DataView(data.buffer, data.byteOffset, data.length));
  } catch (error) {
    if (error instanceof RangeError) throw unsound(error);
    throw error;
  }
}

function entries(data: Uint8Array, view: DataView): Map<string, Uint8Array> {
  let end = data.length - END_BYTES;
  const least = Math.max(0, end - COMMENT_MAX);
  while (end >= least && view.getUint32(end, true) !== END) end--;
  if (end < least) throw unsound();
  const count = view.getUint16(end + 10, true);
  if (count > MEMBERS_MAX) throw unsound();
  const members = new Map<string, Uint8Array>();
  let at = view.getUint32(end + 16, true);
  for (let i = 0; i < count; i++) {
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
    const [packed, size] = [view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const nameLength = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    if (view.getUint32(at, true) !== ENTRY || view.getUint32(local, true) !== LOCAL) throw unsound();
    const name = new TextDecoder().decode(data.subarray(at + 46, at + 46 + nameLength));
    const limit = name === "manifest.json" ? MANIFEST_MAX : MEMBER_MAX;
    if (!NAME.test(name) || method || flags & 1 || packed !== size || size > limit)
      throw new ModelError(`the bundle's member ${name} has no place in it, is compressed, encrypted or too large`);
    const first = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (first + size > data.length || members.has(name)) throw unsound();
    const bytes = data.subarray(first, first + size);
    if (crc32(bytes) !== view.getUint32(at + 16, true)) throw new ModelError(`the bundle's member ${name} is damaged`);
    members.set(name, bytes);
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return members;
}
