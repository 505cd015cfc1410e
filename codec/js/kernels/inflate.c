// Raw DEFLATE (RFC 1951).
#include "types.h"

typedef struct {
  u16 counts[16], symbols[288];
} Lengths;

typedef struct {
  const u8 *bytes;
  u32 size, at;
  u32 window, window_bits;
  u8 *out;
  u32 limit, made;
} Inflating;

typedef struct {
  u32 consumed, made;  // bytes
  i32 ended;           // whether the last block did
} Inflated;

static const u16 LENGTH_FIRST[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const u8 LENGTH_BITS[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const u8 ORDER[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

// -1 where the bytes end.
static i32 take(Inflating *f, u32 count) {
  while (f->window_bits < count) {
    if (f->at == f->size) return -1;
    f->window |= (u32)f->bytes[f->at++] << f->window_bits;
    f->window_bits += 8;
  }
  i32 bits = (i32)(f->window & ((1u << count) - 1));
  f->window >>= count;
  f->window_bits -= count;
  return bits;
}

static i32 take_symbol(Inflating *f, const Lengths *code) {
  i32 word = 0, first = 0, at = 0;
  for (u32 length = 1; length < 16; length++) {
    i32 bit = take(f, 1);
    if (bit < 0) return -1;
    word |= bit;
    i32 count = code->counts[length];
    if (word - first < count) return code->symbols[at + word - first];
    at += count;
    first = (first + count) << 1;
    word <<= 1;
  }
  return -1;
}

// 0 for a complete code, above for one with gaps, below for one with too many words.
static i32 make_lengths(Lengths *code, const u8 *lengths, u32 count) {
  u32 starts[16] = {0};
  i32 open = 1;
  clear_bytes(code->counts, sizeof code->counts);
  for (u32 i = 0; i < count; i++) code->counts[lengths[i]]++;
  code->counts[0] = 0;
  for (u32 length = 1; length < 16; length++) {
    open = 2 * open - code->counts[length];
    if (open < 0) return open;
    if (length < 15) starts[length + 1] = starts[length] + code->counts[length];
  }
  for (u32 i = 0; i < count; i++)
    if (lengths[i]) code->symbols[starts[lengths[i]]++] = (u16)i;
  return open;
}

// zlib lets only a code of one word have gaps.
static i32 is_usable(const Lengths *code, i32 open) {
  u32 words = 0;
  for (u32 length = 1; length < 16; length++) words += code->counts[length];
  return open == 0 || (open > 0 && words <= 1 && words == code->counts[1]);
}

static i32 read_codes(Inflating *f, Lengths *literals, Lengths *distances) {
  u8 lengths[320];
  i32 literal_count = take(f, 5) + 257, distance_count = take(f, 5) + 1, listed = take(f, 4) + 4;
  if (literal_count > 286 || distance_count > 30 || listed < 4) return 0;
  clear_bytes(lengths, sizeof lengths);
  for (i32 i = 0; i < listed; i++) {
    i32 length = take(f, 3);
    if (length < 0) return 0;
    lengths[ORDER[i]] = (u8)length;
  }
  if (make_lengths(literals, lengths, 19)) return 0;
  for (i32 i = 0; i < literal_count + distance_count;) {
    i32 symbol = take_symbol(f, literals);
    if (symbol < 0) return 0;
    if (symbol < 16) {
      lengths[i++] = (u8)symbol;
      continue;
    }
    if (symbol == 16 && !i) return 0;
    i32 more = take(f, symbol == 16 ? 2 : symbol == 17 ? 3 : 7);
    i32 repeats = (symbol == 18 ? 11 : 3) + more;
    if (more < 0 || i + repeats > literal_count + distance_count) return 0;
    u8 value = symbol == 16 ? lengths[i - 1] : 0;
    for (; repeats; repeats--) lengths[i++] = value;
  }
  if (!lengths[256]) return 0;
  // `literals` decoded the lengths until here.
  i32 open = make_lengths(literals, lengths, (u32)literal_count);
  if (!is_usable(literals, open)) return 0;
  open = make_lengths(distances, lengths + literal_count, (u32)distance_count);
  return is_usable(distances, open);
}

static void fixed_codes(Lengths *literals, Lengths *distances) {
  u8 lengths[288];
  for (u32 i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
  make_lengths(literals, lengths, 288);
  for (u32 i = 0; i < 30; i++) lengths[i] = 5;
  make_lengths(distances, lengths, 30);
}

static inline i32 put(Inflating *f, u8 byte) {
  if (f->made == f->limit) return 0;
  if (f->out) f->out[f->made] = byte;
  f->made++;
  return 1;
}

static i32 inflate_block(Inflating *f, const Lengths *literals, const Lengths *distances) {
  for (;;) {
    i32 symbol = take_symbol(f, literals);
    if (symbol < 0) return 0;
    if (symbol == 256) return 1;
    if (symbol < 256) {
      if (!put(f, (u8)symbol)) return 0;
      continue;
    }
    if ((symbol -= 257) > 28) return 0;
    i32 more = take(f, LENGTH_BITS[symbol]);
    i32 distance = take_symbol(f, distances);
    if (more < 0 || distance < 0 || distance > 29) return 0;
    u32 bits = distance < 2 ? 0 : ((u32)distance >> 1) - 1;
    i32 further = take(f, bits);
    u32 back = distance < 2 ? (u32)distance + 1 : ((2 + ((u32)distance & 1)) << bits) + (u32)further + 1;
    if (further < 0 || back > f->made) return 0;
    for (u32 length = LENGTH_FIRST[symbol] + (u32)more; length; length--)
      if (!put(f, f->out ? f->out[f->made - back] : 0)) return 0;
  }
}

static i32 copy_block(Inflating *f) {
  f->window = f->window_bits = 0;
  if (f->size - f->at < 4) return 0;
  const u8 *head = f->bytes + f->at;
  u32 size = head[0] | (u32)head[1] << 8;
  if (size != (~(head[2] | (u32)head[3] << 8) & 0xFFFF)) return 0;
  f->at += 4;
  for (; size; size--)
    if (f->at == f->size || !put(f, f->bytes[f->at++])) return 0;
  return 1;
}

// Up to `limit` bytes of what was packed; without an `out` they are counted.
void EXPORT(inflate)(Inflated *result, const u8 *bytes, u32 size, u8 *out, u32 limit) {
  Inflating f = {.bytes = bytes, .size = size, .out = out, .limit = limit};
  Lengths literals, distances;
  i32 last, sound;
  do {
    last = take(&f, 1);
    i32 kind = take(&f, 2);
    sound = 0;
    if (kind == 0) {
      sound = copy_block(&f);
    } else if (kind == 1) {
      fixed_codes(&literals, &distances);
      sound = inflate_block(&f, &literals, &distances);
    } else if (kind == 2) {
      sound = read_codes(&f, &literals, &distances) && inflate_block(&f, &literals, &distances);
    }
  } while (sound && !last);
  result->consumed = f.at - f.window_bits / 8;
  result->made = f.made;
  result->ended = sound;
}
