// Exact samples of a tile: indices in VP8L pictures, and what they stand for.
import type { Fields as Reader } from "../container/fields.js";
import { internals, VersionError } from "../index.js";
import { unpackBits } from "./bits.js";
import type { ExactKernels } from "./kernels.js";
import { copyShapes, unpackBoxes } from "./shapes.js";

const { crc32, FieldError, Fields, reading, uint32 } = internals;
const [PICTURE, HALVES, LISTED, SHAPES, WITH_ALPHA] = [0, 1, 2, 3, 4];
const SIGNATURE = 0x2f;
const HEAD_BYTES = 5;
/** Bytes that a VP8L picture needs beside some times its own four a pixel. */
const ROOM = 2 ** 22;

/**
 * Samples [height][width][channels] of so many bits; where they `mayHoldAlpha` and do, it is one channel more. Throws
 * CorruptFile, VersionError for a form that is not known.
 */
export function decodeSamples(
  kernels: ExactKernels,
  data: Uint8Array,
  height: number,
  width: number,
  channels: number,
  bits: number,
  mayHoldAlpha = false,
): Uint16Array {
  const white = 2 ** bits - 1;
  return reading("exact samples cannot be read", "tile", () => {
    const fields = new Fields(data);
    const checksum = uint32(fields.take(4));
    const step = fields.varint();
    let form = fields.byte();
    if (step < 1 || step > white + 1) throw new FieldError(`they have a step of ${step}`);
    const top = Math.floor((white + Math.floor(step / 2)) / step);
    const read = (bytes: Uint8Array, planes = channels) => decodeVp8l(kernels, bytes, height, width, planes);
    const boxes = form === SHAPES ? unpackBoxes(kernels, fields.take(fields.varint()), height, width) : [];
    if (form === SHAPES) {
      form = fields.byte();
      if (form === SHAPES || form === WITH_ALPHA) throw new FieldError(`they have form ${form} behind shapes`);
    }
    const held = form === WITH_ALPHA;
    if (held && !(mayHoldAlpha && bits === 8)) throw new FieldError("they hold alpha where there is none");
    const planes = held ? channels + 1 : channels;
    const indices = held ? read(fields.take(fields.rest), planes) : readIndices(kernels, fields, form, top, read);
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number;
      if (held && i % planes === channels) continue;
      if (index > top) throw new FieldError(`they have the index ${index}, above ${top}`);
      indices[i] = Math.min(index * step, white);
    }
    copyShapes(indices, boxes, width, channels);
    if (crc32(bits > 8 ? new Uint8Array(indices.buffer) : indices) !== checksum)
      throw new FieldError("their checksum fails");
    return indices;
  });
}

function readIndices(
  kernels: ExactKernels,
  fields: Reader,
  form: number,
  top: number,
  read: (bytes: Uint8Array) => Uint16Array,
): Uint16Array {
  if (form === PICTURE) return read(fields.take(fields.rest));
  if (form === HALVES) {
    const upper = read(fields.take(fields.varint()));
    const lower = read(fields.take(fields.rest));
    return lower.map((value, at) => ((upper[at] as number) << 8) | value);
  }
  if (form !== LISTED) throw new VersionError(`the file has exact samples of form ${form}, which need a newer aez`);
  const bits = unpackBits(kernels, fields.take(fields.varint()), top + 1, "the list of values");
  const listed: number[] = [];
  for (const [index, bit] of bits.entries()) if (bit) listed.push(index);
  if (!listed.length || listed.length > 256)
    throw new FieldError(`a list of ${listed.length} values is none of 1..256`);
  return read(fields.take(fields.rest)).map((place) => {
    const value = listed[place];
    if (value === undefined) throw new FieldError("they name more values than they list");
    return value;
  });
}

/** Values [height][width][channels] of a VP8L bit stream: RGB or RGBA, or the green ones without or with alpha. */
function decodeVp8l(
  kernels: ExactKernels,
  data: Uint8Array,
  height: number,
  width: number,
  channels: number,
): Uint16Array {
  if (data.length < HEAD_BYTES || data[0] !== SIGNATURE) throw new FieldError("they are no VP8L bit stream");
  const head = uint32(data, 1);
  if ((head & 0x3fff) + 1 !== width || ((head >>> 14) & 0x3fff) + 1 !== height || head >>> 28 !== 1 - (channels % 2)) {
    throw new FieldError(`a VP8L bit stream is not of ${width}x${height} pixels`);
  }
  return kernels.within(() => {
    const bytes = kernels.put(data);
    const size = ROOM + 16 * width * height + 64 * data.length;
    const room = kernels.take(size);
    // Above 2 GiB it comes as a negative number.
    const found = kernels.run.decode_vp8l(bytes, data.length, width, height, room, size) >>> 0;
    if (!found) throw new FieldError("a VP8L bit stream is damaged");
    const pixels = kernels.words(found, width * height);
    const values = new Uint16Array(channels * pixels.length);
    const places = channels < 3 ? [8, 24] : [16, 8, 0, 24];
    for (let i = 0, to = 0; i < pixels.length; i++) {
      for (let channel = 0; channel < channels; channel++, to++)
        values[to] = ((pixels[i] as number) >> (places[channel] as number)) & 255;
    }
    return values;
  });
}
