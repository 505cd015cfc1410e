// CRC-32 as in zlib and PNG.

const TABLE = new Uint32Array(256).map((_, start) => {
  let c = start;
  for (let bit = 0; bit < 8; bit++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

/** The CRC of bytes, going on from that of what came before. */
export function crc32(bytes: ArrayLike<number>, start = 0): number {
  let crc = ~start;
  for (let i = 0; i < bytes.length; i++) {
    crc = (TABLE[(crc ^ (bytes[i] as number)) & 255] as number) ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
