// A tile that is not a learned one alone: its exact samples, which blocks they have, and its alpha.
import { alphaBits, type Header, tileBox } from "../container/header.js";
import { unpackBits } from "../exact/bits.js";
import type { ExactKernels } from "../exact/kernels.js";
import { decodeSamples } from "../exact/samples.js";
import { type Box, heightOf, widthOf, within } from "../image/boxes.js";
import type { Parts, Shown } from "../image/region.js";
import type { Samples } from "../image/samples.js";
import { isGrey } from "../image/values.js";
import { cut, reduced } from "./samples.js";

const BLOCK = 16;

/** A tile from its parts and from what is `shown` of its learned one, which is `small` where it is to scale already. Throws CorruptFile, VersionError. */
export function completed(
  kernels: ExactKernels,
  header: Header,
  number: number,
  parts: Parts,
  learned: Samples<Uint16Array> | null,
  shown: Box,
  scale: number,
  small: boolean,
): Shown {
  const box = tileBox(header, number);
  const place = within(shown, box, 1);
  const blocks = Math.ceil(heightOf(box) / BLOCK) * Math.ceil(widthOf(box) / BLOCK);
  const mask = parts.mask && unpackBits(kernels, parts.mask, blocks, "the mask of a mixed tile");
  const found = parts.exact && exactPart(kernels, header, parts.exact, box, parts.alpha?.length === 0 && !learned);
  const exact = found && reduced(cut(found.colours, place), scale);
  const fitting = small ? learned : learned && reduced(learned, scale);
  if (fitting && exact && mask) merge(fitting, exact, mask, box, shown, scale);
  const colours = fitting ?? (exact as Samples<Uint16Array>);
  if (!parts.alpha) return { colours, alpha: null };
  const alpha = found?.alpha ?? alphaOf(kernels, header, parts.alpha, box);
  return { colours, alpha: reduced(cut(alpha, place), scale) };
}

/** Alpha of a tile by itself. */
function alphaOf(
  kernels: ExactKernels,
  header: Header,
  coded: Uint8Array,
  box: Box,
): Samples<Uint8Array | Uint16Array> {
  const [width, height, bits] = [widthOf(box), heightOf(box), alphaBits(header)];
  const data = bits === 8 ? new Uint8Array(width * height) : new Uint16Array(width * height);
  if (coded.length) data.set(decodeSamples(kernels, coded, height, width, 1, bits));
  else data.fill(2 ** bits - 1);
  return { width, height, channels: 1, data };
}

/** Exact samples of a tile, and the alpha that they may hold. */
function exactPart(kernels: ExactKernels, header: Header, data: Uint8Array, box: Box, mayHoldAlpha: boolean): Shown {
  const [width, height] = [widthOf(box), heightOf(box)];
  const channels = isGrey(header) ? 1 : 3;
  const found = decodeSamples(kernels, data, height, width, channels, header.bits, mayHoldAlpha);
  const count = width * height;
  const planes = found.length / count;
  if (planes === 3) return { colours: { width, height, channels: 3, data: found }, alpha: null };
  const colours = new Uint16Array(3 * count);
  const alpha = planes % 2 ? null : { width, height, channels: 1, data: new Uint8Array(count) };
  for (let pixel = 0, from = 0, to = 0; pixel < count; pixel++, from += planes) {
    for (let channel = 0; channel < 3; channel++) colours[to++] = found[from + (channel % channels)] as number;
    if (alpha) alpha.data[pixel] = found[from + channels] as number;
  }
  return { colours: { width, height, channels: 3, data: colours }, alpha };
}

/** Puts the exact samples of the blocks of a mask over the learned ones. */
function merge(
  { width, height, data }: Samples<Uint16Array>,
  exact: Samples<Uint16Array>,
  mask: Uint8Array,
  box: Box,
  shown: Box,
  scale: number,
): void {
  const inRow = Math.ceil(widthOf(box) / BLOCK);
  for (let y = 0; y < height; y++) {
    const row = Math.floor((shown.top - box.top + y * scale) / BLOCK) * inRow;
    for (let x = 0; x < width; x++) {
      if (!mask[row + Math.floor((shown.left - box.left + x * scale) / BLOCK)]) continue;
      const at = 3 * (y * width + x);
      for (let channel = at; channel < at + 3; channel++) data[channel] = exact.data[channel] as number;
    }
  }
}
