// VP8L, the lossless bit stream of WebP (RFC 9649, section 3), without the RIFF container.
//
// Memory is taken from one piece that the caller hands over; where it does not suffice the picture is refused.
#include "types.h"

#define CODES_MAX 2328  // of one alphabet: 256 values, 24 lengths, a colour cache of 2^11
#define GREEN_CODES 280
#define ROOT_BITS 8

static const u8 LENGTHS_ORDER[19] = {17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
// Distances to near pixels: rows up in the high four bits, 8 less the columns to the left in the low ones.
static const u8 NEAR[120] = {
    24, 7, 23, 25, 40, 6, 39, 41, 22, 26, 38, 42, 56, 5, 55, 57, 21, 27, 54, 58, 37, 43, 72, 4, 71, 73, 20, 28,
    53, 59, 70, 74, 36, 44, 88, 69, 75, 52, 60, 3, 87, 89, 19, 29, 86, 90, 35, 45, 68, 76, 85, 91, 51, 61, 104,
    2, 103, 105, 18, 30, 102, 106, 34, 46, 84, 92, 67, 77, 101, 107, 50, 62, 120, 1, 119, 121, 83, 93, 17, 31,
    100, 108, 66, 78, 118, 122, 33, 47, 117, 123, 49, 63, 99, 109, 82, 94, 0, 116, 124, 65, 79, 16, 32, 98, 110,
    48, 115, 125, 81, 95, 64, 114, 126, 97, 111, 80, 113, 127, 96, 112};

// A prefix code. Codes of up to ROOT_BITS are looked up; longer ones are counted along their lengths.
typedef struct {
  u16 *root;     // [1 << ROOT_BITS]: symbol << 4 | length, 0 for longer codes; none for a single symbol
  u16 *symbols;  // by length, then by value
  u16 counts[16];
} Code;

typedef struct {
  Code codes[5];  // green and lengths, red, blue, alpha, distances
} Group;

typedef struct {
  const u8 *bytes;
  u32 size, at;  // bytes
  u64 window;
  u32 window_bits;
  i32 failed;
  u8 *room, *room_end;
  u8 *lengths;  // [CODES_MAX]
} Stream;

typedef struct {
  u32 type, bits, columns;
  u32 *data;
} Transform;

static void *take_room(Stream *s, size_t bytes) {
  bytes = (bytes + 7) & ~(size_t)7;
  if ((size_t)(s->room_end - s->room) < bytes) {
    s->failed = 1;
    return 0;
  }
  void *taken = s->room;
  s->room += bytes;
  return taken;
}

// At least `count` <= 32 bits into the window; zeros stand behind the end.
static inline void fill(Stream *s, u32 count) {
  while (s->window_bits < count) {
    if (s->at < s->size) s->window |= (u64)s->bytes[s->at] << s->window_bits;
    s->at++;
    s->window_bits += 8;
  }
}

static inline void skip(Stream *s, u32 count) {
  s->window >>= count;
  s->window_bits -= count;
}

static u32 read(Stream *s, u32 count) {
  fill(s, count);
  u32 bits = (u32)(s->window & (((u64)1 << count) - 1));
  skip(s, count);
  return bits;
}

// Whether more bits were taken than there are.
static i32 is_past_end(const Stream *s) { return s->at * (u64)8 - s->window_bits > s->size * (u64)8; }

static i32 make_code(Stream *s, Code *code, u32 size) {
  u32 used = 0, last = 0, next[16];
  clear_bytes(code->counts, sizeof code->counts);
  for (u32 i = 0; i < size; i++)
    if (s->lengths[i]) code->counts[s->lengths[i]]++, used++, last = i;
  if (!used) return 0;
  code->root = 0;
  if (!(code->symbols = take_room(s, used * sizeof(u16)))) return 0;
  if (used == 1) {
    code->symbols[0] = (u16)last;
    return 1;
  }
  u32 open = 1, at = 0;
  for (u32 length = 1; length < 16; length++) {
    if ((open *= 2) < code->counts[length]) return 0;
    open -= code->counts[length];
    next[length] = at;
    at += code->counts[length];
  }
  if (open) return 0;
  for (u32 i = 0; i < size; i++)
    if (s->lengths[i]) code->symbols[next[s->lengths[i]]++] = (u16)i;
  if (!(code->root = take_room(s, sizeof(u16) << ROOT_BITS))) return 0;
  clear_bytes(code->root, sizeof(u16) << ROOT_BITS);
  u32 word = 0;
  at = 0;
  for (u32 length = 1; length <= ROOT_BITS; length++, word *= 2)
    for (u32 i = 0; i < code->counts[length]; i++, word++) {
      u32 reversed = 0;
      for (u32 bit = 0; bit < length; bit++) reversed |= (word >> bit & 1) << (length - 1 - bit);
      for (; reversed < 1u << ROOT_BITS; reversed += 1u << length)
        code->root[reversed] = (u16)(code->symbols[at] << 4 | length);
      at++;
    }
  return 1;
}

static inline u32 read_symbol(Stream *s, const Code *code) {
  if (!code->root) return code->symbols[0];
  fill(s, 15);
  u32 entry = code->root[s->window & ((1 << ROOT_BITS) - 1)];
  if (entry) {
    skip(s, entry & 15);
    return entry >> 4;
  }
  u32 word = 0, first = 0, at = 0;
  for (u32 length = 1; length < 16; length++) {
    word |= (u32)(s->window >> (length - 1)) & 1;
    u32 count = code->counts[length];
    if (word - first < count) {
      skip(s, length);
      return code->symbols[at + word - first];
    }
    at += count;
    first = (first + count) << 1;
    word <<= 1;
  }
  s->failed = 1;  // not with a complete code
  return 0;
}

static i32 read_lengths(Stream *s, u32 size) {
  Code code;
  u8 *kept = s->room;
  u32 listed = read(s, 4) + 4, left = size, previous = 8;
  clear_bytes(s->lengths, CODES_MAX);
  for (u32 i = 0; i < listed; i++) s->lengths[LENGTHS_ORDER[i]] = (u8)read(s, 3);
  if (!make_code(s, &code, 19)) return 0;
  clear_bytes(s->lengths, CODES_MAX);
  if (read(s, 1)) {
    u32 bits = 2 + 2 * read(s, 3);
    left = 2 + read(s, bits);
    if (left > size) return 0;
  }
  for (u32 i = 0; i < size && left--;) {
    u32 length = read_symbol(s, &code);
    if (length < 16) {
      s->lengths[i++] = (u8)length;
      if (length) previous = length;
      continue;
    }
    u32 repeats = length == 16 ? 3 + read(s, 2) : length == 17 ? 3 + read(s, 3) : 11 + read(s, 7);
    if (i + repeats > size) return 0;
    for (; repeats; repeats--) s->lengths[i++] = length == 16 ? (u8)previous : 0;
  }
  s->room = kept;
  return 1;
}

static i32 read_code(Stream *s, Code *code, u32 size) {
  if (read(s, 1)) {
    u32 two = read(s, 1), wide = read(s, 1);
    clear_bytes(s->lengths, CODES_MAX);
    s->lengths[read(s, wide ? 8 : 1)] = 1;
    if (two) s->lengths[read(s, 8)] = 1;
  } else if (!read_lengths(s, size)) {
    return 0;
  }
  return make_code(s, code, size) && !is_past_end(s);
}

static inline u32 read_extent(Stream *s, u32 prefix) {
  if (prefix < 4) return prefix + 1;
  u32 bits = (prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << bits) + read(s, bits) + 1;
}

static u32 blocks(u32 size, u32 bits) { return (size + (1u << bits) - 1) >> bits; }

static u32 *read_image(Stream *s, u32 columns, u32 rows, i32 is_main);

static i32 read_pixels(Stream *s, u32 *out, u32 columns, u32 count, const Group *groups, const u32 *chosen, u32 bits,
                       u32 *cache, u32 cache_bits) {
  u32 in_row = chosen ? blocks(columns, bits) : 0;
  for (u32 at = 0, kept = 0; at < count;) {
    u32 number = chosen ? chosen[(at / columns >> bits) * in_row + (at % columns >> bits)] >> 8 & 0xFFFF : 0;
    const Group *group = groups + number;
    u32 green = read_symbol(s, group->codes);
    if (green < 256) {
      u32 red = read_symbol(s, group->codes + 1), blue = read_symbol(s, group->codes + 2);
      out[at++] = read_symbol(s, group->codes + 3) << 24 | red << 16 | green << 8 | blue;
    } else if (green < GREEN_CODES) {
      u32 length = read_extent(s, green - 256);
      u32 distance = read_extent(s, read_symbol(s, group->codes + 4));
      if (distance > 120) {
        distance -= 120;
      } else {
        i32 back = (NEAR[distance - 1] >> 4) * (i32)columns + 8 - (NEAR[distance - 1] & 15);
        distance = back < 1 ? 1 : (u32)back;
      }
      if (distance > at || length > count - at) return 0;
      for (; length; length--, at++) out[at] = out[at - distance];
    } else {
      while (kept < at) {
        cache[(0x1e35a7bdu * out[kept]) >> (32 - cache_bits)] = out[kept];
        kept++;
      }
      out[at++] = cache[green - GREEN_CODES];
    }
    if (s->failed || is_past_end(s)) return 0;
    // What the cache holds is looked at only where an entry of it is asked for.
    if (!cache) kept = at;
  }
  return 1;
}

// Pixels of an image coded by prefix codes; 0 where it is damaged.
static u32 *read_image(Stream *s, u32 columns, u32 rows, i32 is_main) {
  u32 cache_bits = 0, bits = 0, group_count = 1, *cache = 0, *chosen = 0;
  if (read(s, 1)) {
    cache_bits = read(s, 4);
    if (cache_bits < 1 || cache_bits > 11) return 0;
    if (!(cache = take_room(s, sizeof(u32) << cache_bits))) return 0;
    clear_bytes(cache, sizeof(u32) << cache_bits);
  }
  if (is_main && read(s, 1)) {
    bits = read(s, 3) + 2;
    u32 count = blocks(columns, bits) * blocks(rows, bits);
    if (!(chosen = read_image(s, blocks(columns, bits), blocks(rows, bits), 0))) return 0;
    for (u32 i = 0; i < count; i++)
      if ((chosen[i] >> 8 & 0xFFFF) >= group_count) group_count = (chosen[i] >> 8 & 0xFFFF) + 1;
  }
  Group *groups = take_room(s, group_count * sizeof(Group));
  if (!groups) return 0;
  for (u32 i = 0; i < group_count; i++)
    for (u32 k = 0; k < 5; k++) {
      u32 size = k == 4 ? 40 : k ? 256 : GREEN_CODES + (cache_bits ? 1u << cache_bits : 0);
      if (!read_code(s, groups[i].codes + k, size)) return 0;
    }
  u32 *out = take_room(s, (size_t)columns * rows * sizeof(u32));
  if (!out || !read_pixels(s, out, columns, columns * rows, groups, chosen, bits, cache, cache_bits)) return 0;
  return out;
}

static u32 add(u32 a, u32 b) {
  return ((a & 0xFF00FF00u) + (b & 0xFF00FF00u)) & 0xFF00FF00u | ((a & 0xFF00FFu) + (b & 0xFF00FFu)) & 0xFF00FFu;
}

static u32 mean(u32 a, u32 b) { return (((a ^ b) & 0xFEFEFEFEu) >> 1) + (a & b); }

static i32 channel(u32 pixel, u32 shift) { return (i32)(pixel >> shift & 255); }

static u32 limited(i32 value) { return value < 0 ? 0 : value > 255 ? 255 : (u32)value; }

static u32 select_near(u32 left, u32 top, u32 corner) {
  i32 to_left = 0, to_top = 0;
  for (u32 shift = 0; shift < 32; shift += 8) {
    i32 l = channel(left, shift), t = channel(top, shift), c = channel(corner, shift);
    to_left += t > c ? t - c : c - t;
    to_top += l > c ? l - c : c - l;
  }
  return to_left < to_top ? left : top;
}

static u32 add_difference(u32 a, u32 b, u32 c, i32 half) {
  u32 out = 0;
  for (u32 shift = 0; shift < 32; shift += 8) {
    i32 difference = channel(b, shift) - channel(c, shift);
    out |= limited(channel(a, shift) + (half ? difference / 2 : difference)) << shift;
  }
  return out;
}

static u32 predicted(u32 mode, u32 left, u32 top, u32 corner, u32 right) {
  switch (mode) {
    case 1: return left;
    case 2: return top;
    case 3: return right;
    case 4: return corner;
    case 5: return mean(mean(left, right), top);
    case 6: return mean(left, corner);
    case 7: return mean(left, top);
    case 8: return mean(corner, top);
    case 9: return mean(top, right);
    case 10: return mean(mean(left, corner), mean(top, right));
    case 11: return select_near(left, top, corner);
    case 12: return add_difference(left, top, corner, 0);
    case 13: {
      u32 both = mean(left, top);
      return add_difference(both, both, corner, 1);
    }
    default: return 0xFF000000u;
  }
}

static void undo_predictor(const Transform *t, u32 *x, u32 rows) {
  u32 columns = t->columns, in_row = blocks(columns, t->bits);
  for (u32 row = 0; row < rows; row++)
    for (u32 column = 0; column < columns; column++, x++) {
      u32 by = 0xFF000000u;
      if (!row) by = column ? x[-1] : by;
      else if (!column) by = *(x - columns);
      else {
        u32 mode = t->data[(row >> t->bits) * in_row + (column >> t->bits)] >> 8 & 15;
        const u32 *above = x - columns;
        by = predicted(mode, x[-1], above[0], above[-1], above[1]);
      }
      *x = add(*x, by);
    }
}

static i32 part(u32 factor, u32 value) { return ((i32)(int8_t)factor * (i32)(int8_t)value) >> 5; }

static void undo_colour(const Transform *t, u32 *x, u32 rows) {
  u32 in_row = blocks(t->columns, t->bits);
  for (u32 row = 0; row < rows; row++)
    for (u32 column = 0; column < t->columns; column++, x++) {
      u32 factors = t->data[(row >> t->bits) * in_row + (column >> t->bits)], green = *x >> 8;
      u32 red = (*x >> 16) + (u32)part(factors, green) & 255;
      u32 blue = *x + (u32)part(factors >> 8, green) + (u32)part(factors >> 16, red) & 255;
      *x = *x & 0xFF00FF00u | red << 16 | blue;
    }
}

static void undo_indices(const Transform *t, const u32 *x, u32 *out, u32 rows) {
  u32 in_row = blocks(t->columns, t->bits), width = 8 >> t->bits, mask = (1u << width) - 1;
  for (u32 row = 0; row < rows; row++, x += in_row)
    for (u32 column = 0; column < t->columns; column++) {
      u32 packed = x[column >> t->bits] >> 8 & 255;
      *out++ = t->data[packed >> (column & ((1u << t->bits) - 1)) * width & mask];
    }
}

static i32 read_transform(Stream *s, Transform *t, u32 *columns, u32 rows) {
  t->columns = *columns;
  t->bits = 0;
  if (t->type < 2) {
    t->bits = read(s, 3) + 2;
    t->data = read_image(s, blocks(*columns, t->bits), blocks(rows, t->bits), 0);
    return t->data != 0;
  }
  if (t->type == 2) return 1;
  u32 count = read(s, 8) + 1;
  t->bits = count > 16 ? 0 : count > 4 ? 1 : count > 2 ? 2 : 3;
  u32 *listed = read_image(s, count, 1, 0), previous = 0;
  if (!listed || !(t->data = take_room(s, 256 * sizeof(u32)))) return 0;
  clear_bytes(t->data, 256 * sizeof(u32));
  for (u32 i = 0; i < count; i++) t->data[i] = previous = add(previous, listed[i]);
  *columns = blocks(*columns, t->bits);
  return 1;
}

// Pixels, blue in the lowest byte, of a bit stream of so many columns and rows; 0 where it is damaged. They lie within
// the room.
const u32 *EXPORT(decode_vp8l)(const u8 *bytes, u32 size, u32 columns, u32 rows, u8 *room, u32 room_size) {
  Stream s = {.bytes = bytes, .size = size, .at = 5, .room = room, .room_end = room + room_size};
  Transform transforms[4];
  u32 count = 0, seen = 0, width = columns;
  if (!(s.lengths = take_room(&s, CODES_MAX))) return 0;
  while (read(&s, 1)) {
    u32 type = read(&s, 2);
    if (seen >> type & 1) return 0;
    seen |= 1u << type;
    transforms[count].type = type;
    if (!read_transform(&s, transforms + count, &width, rows)) return 0;
    count++;
  }
  u32 *x = read_image(&s, width, rows, 1);
  if (!x) return 0;
  while (count) {
    const Transform *t = transforms + --count;
    u32 pixels = t->columns * rows;
    if (t->type == 0) undo_predictor(t, x, rows);
    else if (t->type == 1) undo_colour(t, x, rows);
    else if (t->type == 2)
      for (u32 i = 0; i < pixels; i++) x[i] = add(x[i], (x[i] >> 8 & 255) * 0x10001u);
    else {
      u32 *out = take_room(&s, (size_t)pixels * sizeof(u32));
      if (!out) return 0;
      undo_indices(t, x, out, rows);
      x = out;
    }
  }
  return x;
}
