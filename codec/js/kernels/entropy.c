// The symbols of a tile: integer tables and an ANS coder with 32-bit words and a 64-bit state, as FORMAT.md has them.
#include "types.h"

#define PRECISION 24
#define BUCKETS 256
#define SYMBOL_LIMIT (1 << 20)

typedef struct {
  const u32 *sums;    // of each table: the sums of its weights before each entry, and 2^24
  const u32 *starts;  // of each table in `sums`; its entries are one less
  u16 *buckets;       // [count][BUCKETS]: the entry that holds each 256th of the range; made by `prepare_tables`
  u32 count;
} Tables;

typedef struct {
  u64 state;
  const u32 *words;
  u32 word_count;
  const u32 *escapes;
  u32 escape_count, escapes_used, checksum;
} Coder;

enum Outcome { SOUND, NO_TABLE, NO_ESCAPE, ESCAPE_TOO_LARGE };

void EXPORT(prepare_tables)(const Tables *t) {
  for (u32 table = 0; table < t->count; table++) {
    const u32 *sums = t->sums + t->starts[table];
    u32 entry = 0;
    for (u32 bucket = 0; bucket < BUCKETS; bucket++) {
      while (sums[entry + 1] <= bucket << (PRECISION - 8)) entry++;
      t->buckets[table * BUCKETS + bucket] = (u16)entry;
    }
  }
}

static inline u32 pop(Coder *c) { return c->words[--c->word_count]; }

void EXPORT(start_coder)(Coder *c) {
  c->state = 0;
  for (u32 i = 0; i < 2 && c->word_count; i++) c->state = c->state << 32 | pop(c);
}

i32 EXPORT(is_finished)(const Coder *c) {
  return !c->state && !c->word_count && c->escapes_used == c->escape_count;
}

static inline u32 next_entry(Coder *c, const u32 *sums, const u16 *buckets) {
  u32 q = (u32)c->state & ((1u << PRECISION) - 1), entry = buckets[q >> (PRECISION - 8)];
  while (sums[entry + 1] <= q) entry++;
  c->state = (c->state >> PRECISION) * (sums[entry + 1] - sums[entry]) + q - sums[entry];
  if (c->state >> 32 == 0 && c->word_count) c->state = c->state << 32 | pop(c);
  return entry;
}

// The next symbols, with the table of each place, 0 where it is 0. `order` has room for count numbers.
i32 EXPORT(decode_symbols)(Coder *c, const Tables *t, const u8 *index, u32 count, i32 *out, u32 *order) {
  u32 places[257];
  clear_bytes(places, sizeof places);
  for (u32 i = 0; i < count; i++) places[index[i] + 1]++;
  for (u32 table = t->count; table < 256; table++)
    if (places[table + 1]) return NO_TABLE;
  u32 zeros = places[1], coded = count - zeros;
  places[1] = 0;  // table 0 is never used
  for (u32 table = 1; table < 256; table++) places[table + 1] += places[table];
  for (u32 i = 0; i < count; i++) {
    out[i] = 0;
    if (index[i]) order[places[index[i]]++] = i;
  }
  for (u32 i = 0; i < coded; i++) {
    u32 place = order[i], table = index[place], start = t->starts[table];
    i32 reach = (i32)(t->starts[table + 1] - start - 1) / 2 - 1;
    i32 value = (i32)next_entry(c, t->sums + start, t->buckets + table * BUCKETS) - reach;
    if (value > reach) {
      if (c->escapes_used == c->escape_count) return NO_ESCAPE;
      u32 escape = c->escapes[c->escapes_used++];
      value = (i32)(escape >> 1) + reach + 1;
      if (value >= SYMBOL_LIMIT) return ESCAPE_TOO_LARGE;
      if (escape & 1) value = -value;
    }
    out[place] = value;
    order[i] = (u32)value;
  }
  c->checksum = crc32_of((const u8 *)order, coded * 4, c->checksum);
  return SOUND;
}

// Twice the mean of the neighbours that are there, rounded half up, as context 1..7.
static u32 context_of(const i32 *z, i32 rows, i32 columns, i32 row, i32 column, i32 direct) {
  i32 sum = 0, near = 0;
  for (i32 i = 0; i < 4; i++) {
    i32 down = direct ? (i < 2 ? 2 * i - 1 : 0) : 2 * (i & 1) - 1;
    i32 right = direct ? (i < 2 ? 0 : 2 * i - 5) : (i & 2) - 1;
    i32 at_row = row + down, at_column = column + right;
    if (at_row < 0 || at_row >= rows || at_column < 0 || at_column >= columns) continue;
    sum += z[at_row * columns + at_column];
    near++;
  }
  i32 over = 4 * sum + near, under = 2 * near;
  i32 doubled = over >= 0 ? over / under : -((under - 1 - over) / under);
  return (u32)((doubled < -3 ? -3 : doubled > 3 ? 3 : doubled) + 4);
}

// The table of each hyper-latent of a phase, 0 for those of others; numbers [8][channels] name the tables.
void EXPORT(hyper_tables)(const i32 *z, u32 channels, i32 rows, i32 columns, i32 phase, const u8 *numbers, u8 *out) {
  for (u32 channel = 0; channel < channels; channel++, z += rows * columns)
    for (i32 row = 0; row < rows; row++)
      for (i32 column = 0; column < columns; column++) {
        i32 odd = (row & 1) + (column & 1), of = odd == 0 ? 0 : odd == 2 ? 1 : 2;
        u32 context = of != phase || !phase ? 0 : context_of(z, rows, columns, row, column, phase == 2);
        *out++ = of == phase ? numbers[context * channels + channel] : 0;
      }
}

// Indices as bytes; 0 where one is no whole number of 0..255.
i32 EXPORT(to_indices)(u8 *out, const float *x, u32 count) {
  for (u32 i = 0; i < count; i++) {
    if (!(x[i] >= 0 && x[i] <= 255) || x[i] != __builtin_floorf(x[i])) return 0;
    out[i] = (u8)x[i];
  }
  return 1;
}

// Integers as float32.
void EXPORT(to_floats)(float *out, const i32 *x, u32 count) {
  for (u32 i = 0; i < count; i++) out[i] = (float)x[i];
}
