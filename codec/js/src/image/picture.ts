// A decoded picture.
import type { Header } from "../container/header.js";
import { InvalidArgument, UnsupportedInput } from "../errors.js";
import { loadRest } from "./rest.js";
import type { Numbers } from "./samples.js";
import { isPlain, levelsOf, type Stored, toRgba, valued } from "./values.js";

/** Words beside the pixels, as they stand in the file: EXIF as a TIFF block, an ICC profile, XMP in UTF-8. */
export interface Metadata {
  exif: Uint8Array | null;
  icc: Uint8Array | null;
  xmp: Uint8Array | null;
  /** 100000 times a gamma, then x and y of white, red, green and blue. */
  colorimetry: Uint32Array | null;
}

/** A decoded picture, turned as it is shown unless that was not wanted. */
export class Picture {
  /** Of the pixels here, after turning and scaling. */
  readonly width: number;
  readonly height: number;
  #held: Numbers | null = null;

  constructor(
    readonly header: Header,
    /** Whole numbers of the bits of the header, as they stand in the file, turned. */
    readonly colours: Stored,
    readonly alpha: Stored | null,
    readonly metadata: Metadata,
  ) {
    this.width = this.colours.width;
    this.height = this.colours.height;
  }

  /** 1 for L, 2 for LA, 3 for RGB, 4 for RGBA. */
  get channels(): number {
    return this.colours.channels + (this.alpha ? 1 : 0);
  }

  /**
   * What the samples stand for, [height][width][channels]: bytes; above 8 bits a Uint16Array over 0..65535; or a
   * Float32Array where the file has a range of values that are no whole numbers. Alpha is straight.
   */
  get data(): Numbers {
    this.#held ??= valued(this.colours, this.alpha, this.header);
    return this.#held;
  }

  /** Red, green, blue and straight alpha of 8 bits each, as a canvas takes them. */
  rgba(): Uint8ClampedArray<ArrayBuffer> {
    return toRgba(this.colours, levelsOf(this.header.bits), this.alpha);
  }

  /** The colour space of a canvas that is nearest to the picture's. */
  get colorSpace(): PredefinedColorSpace {
    return colorSpaceOf(this.header, this.metadata.icc);
  }
}

/** With what gives its values, where they are not plain bytes. Throws UnsupportedInput where that cannot be loaded. */
export async function pictureOf(...parts: ConstructorParameters<typeof Picture>): Promise<Picture> {
  if (!isPlain(parts[0])) await loadRest();
  return new Picture(...parts);
}

export function colorSpaceOf({ cicp }: Header, icc: Uint8Array | null): PredefinedColorSpace {
  if (cicp) return cicp[0] === 12 && cicp[1] === 13 ? "display-p3" : "srgb";
  return icc && /D\0?i\0?s\0?p\0?l\0?a\0?y\0? \0?P\0?3/.test(String.fromCharCode(...icc.subarray(0, 1024)))
    ? "display-p3"
    : "srgb";
}

/** The picture as an ImageBitmap, to be drawn on a canvas. Throws UnsupportedInput outside of browsers. */
export async function toBitmap(picture: Picture): Promise<ImageBitmap> {
  if (!picture?.rgba) throw new InvalidArgument("toBitmap takes what decode gave");
  if (!globalThis.createImageBitmap) throw new UnsupportedInput("bitmaps are for browsers alone: take rgba()");
  const { width, height, colorSpace } = picture;
  const image = new ImageData(picture.rgba(), width, height, { colorSpace });
  return await createImageBitmap(image, { premultiplyAlpha: "premultiply" });
}
