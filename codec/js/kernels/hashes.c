// CRC-32 as in zlib, and SHA-256.
#include "types.h"

static u32 table[256];

u32 crc32_of(const u8 *bytes, u32 count, u32 start) {
  if (!table[1])
    for (u32 i = 0; i < 256; i++) {
      u32 c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
      table[i] = c;
    }
  u32 crc = ~start;
  for (u32 i = 0; i < count; i++) crc = table[(crc ^ bytes[i]) & 255] ^ crc >> 8;
  return ~crc;
}

// The first 32 bits of the fractional parts of cube roots and of square roots of the first primes.
static u32 rounds[64], starts[8];

static u32 fraction(double root) { return (u32)((root - __builtin_floor(root)) * 4294967296.0); }

static void find_roots(void) {
  u32 found = 0;
  for (u32 n = 2; found < 64; n++) {
    u32 divisor = 2;
    while (n % divisor) divisor++;
    if (divisor < n) continue;
    double root = 7;  // above all of them: Newton's method comes down from there
    for (u32 i = 0; i < 16; i++) root -= (root * root * root - n) / (3 * root * root);
    if (found < 8) starts[found] = fraction(__builtin_sqrt(n));
    rounds[found++] = fraction(root);
  }
}

static u32 turn(u32 x, u32 by) { return x >> by | x << (32 - by); }

static void digest_block(u32 *h, const u8 *bytes) {
  u32 w[64], s[8];
  for (u32 i = 0; i < 16; i++, bytes += 4)
    w[i] = (u32)bytes[0] << 24 | (u32)bytes[1] << 16 | (u32)bytes[2] << 8 | bytes[3];
  for (u32 i = 16; i < 64; i++) {
    u32 a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
  }
  for (u32 i = 0; i < 8; i++) s[i] = h[i];
  for (u32 i = 0; i < 64; i++) {
    u32 e = s[4], a = s[0];
    u32 t = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + rounds[i] + w[i];
    u32 u = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    for (u32 k = 7; k; k--) s[k] = s[k - 1];
    s[4] += t;
    s[0] = t + u;
  }
  for (u32 i = 0; i < 8; i++) h[i] += s[i];
}

// out[32]: the digest of the bytes.
void EXPORT(sha256)(u8 *out, const u8 *bytes, u32 count) {
  u32 h[8];
  if (!rounds[0]) find_roots();
  for (u32 i = 0; i < 8; i++) h[i] = starts[i];
  u8 last[128];
  u32 whole = count & ~63u, rest = count - whole, size = rest < 56 ? 64 : 128;
  for (u32 i = 0; i < whole; i += 64) digest_block(h, bytes + i);
  clear_bytes(last, sizeof last);
  for (u32 i = 0; i < rest; i++) last[i] = bytes[whole + i];
  last[rest] = 0x80;
  for (u32 i = 0; i < 8; i++) last[size - 1 - i] = (u8)((u64)count * 8 >> 8 * i);
  for (u32 i = 0; i < size; i += 64) digest_block(h, last + i);
  for (u32 i = 0; i < 32; i++) out[i] = (u8)(h[i / 4] >> (24 - 8 * (i % 4)));
}
