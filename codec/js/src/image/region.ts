// Decodes the tiles of one file, keeping the latents of few.
import { Fields, reading } from "../container/fields.js";
import { type Header, hasAlpha, tileBox } from "../container/header.js";
import { CorruptFile, ModelError, VersionError } from "../errors.js";
import type { Kernels } from "../network/kernels.js";
import { aligned, type Box, grown, heightOf, sameBox, spanned, widthOf, within } from "./boxes.js";
import { checkHeader, type ImageModel, type Plane } from "./model.js";
import { restOf } from "./rest.js";
import type { Samples } from "./samples.js";

export const LEARNED = 0;
export const EXACT = 1;
const MIXED = 2;
const THUMBNAIL = 8;

/** A tile's content, not yet decoded. */
export interface Parts {
  symbols: Uint8Array | null;
  exact: Uint8Array | null;
  /** Which blocks are exact, packed. */
  mask: Uint8Array | null;
  /** Exact samples of alpha; none where the tile is opaque or its exact samples hold alpha. */
  alpha: Uint8Array | null;
}

/** A part of a picture: colours of three channels, and alpha of one in a mode that has it. */
export interface Shown {
  colours: Samples<Uint16Array>;
  alpha: Samples<Uint8Array | Uint16Array> | null;
}

/** Whether a tile holds symbols of a model; also for content that cannot be read. */
export function needsModel(content: Uint8Array): boolean {
  return content[0] !== EXACT;
}

/** Decodes tiles of a file, of which those that a tile touches have to be there. */
export class RegionDecoder {
  readonly #latents = new Map<number, Plane | null>();
  constructor(
    private readonly kernels: Kernels,
    private readonly header: Header,
    private readonly model: ImageModel | null,
    private readonly contents: ReadonlyMap<number, Uint8Array>,
    private readonly scale: number,
    private readonly onPhase: (tile: number, checksum: number) => void = () => undefined,
  ) {
    if (model) checkHeader(header.level, header.tile, model.geometry);
  }

  /** The part of a tile that is `shown`, to scale. Throws CorruptFile, VersionError. */
  async tile(number: number, shown: Box): Promise<Shown> {
    const parts = this.#parts(number);
    const learned = parts.symbols && (await this.#learned(number, shown));
    const small = this.model !== null && this.#isSmall(this.model);
    const fits = small || this.scale === 1;
    if (learned && fits && !parts.exact && !parts.alpha) return { colours: learned, alpha: null };
    const rest = await restOf(this.kernels);
    return rest.completed(this.header, number, parts, learned, shown, this.scale, small);
  }

  /** Forgets latents of tiles before this one. */
  forget(before: number): void {
    for (const number of this.#latents.keys()) if (number < before) this.#latents.delete(number);
  }

  /** The part of a tile's surroundings that is looked at for what is `shown` of it. */
  seen(shown: Box, model: ImageModel): Box {
    const unit = model.geometry.alignment;
    const halo = this.#isSmall(model) ? unit : model.geometry.synthesis_halo;
    return grown(spanned(shown, unit), halo, this.#whole(unit));
  }

  #isSmall(model: ImageModel): boolean {
    return this.scale === THUMBNAIL && model.geometry.latent_stride === THUMBNAIL && model.hasThumbnail;
  }

  #whole(unit: number): Box {
    return aligned({ left: 0, top: 0, right: this.header.width, bottom: this.header.height }, unit);
  }

  #content(number: number): Uint8Array {
    const content = this.contents.get(number);
    if (!content?.length) throw new CorruptFile(`tile ${number} is not in the file, or empty`, "tile");
    return content;
  }

  #parts(number: number): Parts {
    const content = this.#content(number);
    const kind = content[0] as number;
    if (kind > MIXED) throw new VersionError(`the file has a tile of kind ${kind}, which needs a newer aez`);
    return reading(`tile ${number}: it ends too early`, "tile", () => {
      const fields = new Fields(content.subarray(1));
      const alpha = hasAlpha(this.header) ? fields.take(fields.varint()) : null;
      if (kind === LEARNED) return { symbols: fields.take(fields.rest), exact: null, mask: null, alpha };
      if (kind === EXACT) return { symbols: null, exact: fields.take(fields.rest), mask: null, alpha };
      const mask = fields.take(fields.varint());
      const exact = fields.take(fields.varint());
      return { mask, exact, symbols: fields.take(fields.rest), alpha };
    });
  }

  /** What is shown of the learned tile: to scale where the model has thumbnails of it, else as it is. */
  async #learned(number: number, shown: Box): Promise<Samples<Uint16Array>> {
    const { model, header } = this;
    if (!model) throw new CorruptFile(`tile ${number} needs a model, and the header names none`, "header");
    const seen = this.seen(shown, model);
    const y = await this.#assembled(model, number, seen);
    const small = this.#isSmall(model);
    const part = within(shown, seen, small ? this.scale : 1);
    const [width, height] = [widthOf(part), heightOf(part)];
    return await model.withImage(y, header.level, small, (image, rows, columns) => {
      const out = this.kernels.take(6 * width * height);
      const white = 2 ** header.bits - 1;
      const { run } = this.kernels;
      if (!run.to_samples(out, image, rows, columns, part.top, part.left, height, width, white)) {
        throw new ModelError("the model gives pixels that are not numbers for this latent");
      }
      return { width, height, channels: 3, data: this.kernels.shorts(out, 3 * width * height).slice() };
    });
  }

  /** Latents of `seen` from all tiles that touch it; where those have none, a tile's own ones with edges repeated. */
  async #assembled(model: ImageModel, number: number, seen: Box): Promise<Plane> {
    const { alignment: unit, latent_stride: stride, channels } = model.geometry;
    const box = aligned(tileBox(this.header, number), unit);
    const own = (await this.#latent(model, number)) as Plane;
    if (sameBox(seen, box)) return own;
    const [rows, columns] = [heightOf(seen) / stride, widthOf(seen) / stride];
    const y: Plane = { rows, columns, data: new Float32Array(channels * rows * columns) };
    copyPlane(y, within(seen, seen, stride), own, within(seen, box, stride), channels);
    for (const other of this.touched(seen)) {
      const part = other === number ? null : await this.#latent(model, other);
      if (!part) continue;
      const otherBox = aligned(tileBox(this.header, other), unit);
      const shared = grown(otherBox, 0, seen);
      copyPlane(y, within(shared, seen, stride), part, within(shared, otherBox, stride), channels);
    }
    return y;
  }

  /** The tiles that touch a box. */
  touched(box: Box): number[] {
    const { tile, rows, columns } = this.header;
    const found: number[] = [];
    for (let row = Math.floor(box.top / tile); row < Math.min(Math.ceil(box.bottom / tile), rows); row++) {
      for (
        let column = Math.floor(box.left / tile);
        column < Math.min(Math.ceil(box.right / tile), columns);
        column++
      ) {
        found.push(row * columns + column);
      }
    }
    return found;
  }

  /** y of a tile, or null of one without. */
  async #latent(model: ImageModel, number: number): Promise<Plane | null> {
    const kept = this.#latents.get(number);
    if (kept !== undefined) return kept;
    const { symbols } = this.#parts(number);
    const box = aligned(tileBox(this.header, number), model.geometry.alignment);
    const seen = (checksum: number) => this.onPhase(number, checksum);
    const found = symbols && (await model.latents(symbols, heightOf(box), widthOf(box), this.header.level, seen));
    this.#latents.set(number, found);
    return found;
  }
}

/** Copies a part of one plane to one of another of the same size; what lies outside of it is its nearest number. */
function copyPlane(to: Plane, at: Box, from: Plane, part: Box, channels: number): void {
  const [width, height] = [widthOf(at), heightOf(at)];
  const inside = part.left >= 0 && part.right <= from.columns;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < height; row++) {
      const nearRow = Math.min(Math.max(part.top + row, 0), from.rows - 1);
      const start = (channel * from.rows + nearRow) * from.columns;
      const target = (channel * to.rows + at.top + row) * to.columns + at.left;
      if (inside) {
        to.data.set(from.data.subarray(start + part.left, start + part.left + width), target);
        continue;
      }
      for (let column = 0; column < width; column++) {
        const near = Math.min(Math.max(part.left + column, 0), from.columns - 1);
        to.data[target + column] = from.data[start + near] as number;
      }
    }
  }
}
