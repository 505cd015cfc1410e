// Samples of a picture or of a part of it.
export type Numbers = Uint8Array | Uint8ClampedArray | Uint16Array | Float32Array;

/** Numbers [height][width][channels]. */
export interface Samples<Data extends Numbers = Numbers> {
  width: number;
  height: number;
  channels: number;
  data: Data;
}

/** Zeros of the type of others. */
export function blank<Data extends Numbers>(like: Data, count: number): Data {
  return new (like.constructor as new (count: number) => Data)(count);
}
