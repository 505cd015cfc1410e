// Convolutions of one picture in float32, [channels][rows][columns]: plain sums of products, in whatever order they come.
//
// Sums of integers below 2^24 are exact in any order, which the networks that choose probabilities rely on: no
// transform of the input (Winograd) and no narrower numbers here.
#include "steps.h"

// Output channels and pixels that are summed up in registers, and pixels that are gathered at once.
#define BLOCK_M 4
#define BLOCK_P 8
#define PANEL 32

typedef struct {
  float *out;          // [channels_out][rows_out * columns_out]
  const float *x;      // [channels_in][rows * columns]
  const float *weights;  // [channels_out / 4, rounded up][depth][4], depth = channels_in * side * side
  const float *bias;   // [channels_out, rounded up to 4]
  float *panel;        // room for depth * PANEL numbers
  u32 channels_out, channels_in, rows, columns, rows_out, columns_out, side, stride, pad;
  u32 edge;            // 1: what lies outside has the value of the nearest pixel; 0: it is 0
  const Step *steps;
  u32 step_count;
} Convolution;

static void gather_points(const Convolution *c, u32 first, u32 count, u32 pixels) {
  for (u32 k = 0; k < c->channels_in; k++) {
    const float *x = c->x + (size_t)k * pixels + first;
    for (u32 p = 0; p < PANEL; p += BLOCK_P) {
      float *to = c->panel + (size_t)p * c->channels_in + k * BLOCK_P;
      if (p + BLOCK_P <= count) {
        wasm_v128_store(to, wasm_v128_load(x + p));
        wasm_v128_store(to + 4, wasm_v128_load(x + p + 4));
      } else if (p < count) {
        for (u32 i = 0; i < BLOCK_P; i++) to[i] = p + i < count ? x[p + i] : 0;
      }
    }
  }
}

static i32 clamped(i32 at, i32 end) { return at < 0 ? 0 : at >= end ? end - 1 : at; }

static void gather_windows(const Convolution *c, u32 first, u32 count) {
  u32 depth = c->channels_in * c->side * c->side;
  for (u32 p = 0; p < ((count + BLOCK_P - 1) & ~(BLOCK_P - 1u)); p++) {
    float *to = c->panel + (size_t)(p & ~(BLOCK_P - 1u)) * depth + (p & (BLOCK_P - 1u));
    u32 at = first + (p < count ? p : 0);
    i32 top = (i32)(at / c->columns_out * c->stride) - (i32)c->pad;
    i32 left = (i32)(at % c->columns_out * c->stride) - (i32)c->pad;
    for (u32 down = 0; down < c->side; down++) {
      for (u32 right = 0; right < c->side; right++) {
        i32 row = top + (i32)down, column = left + (i32)right;
        i32 near_row = clamped(row, (i32)c->rows), near_column = clamped(column, (i32)c->columns);
        u32 inside = c->edge || (row == near_row && column == near_column);
        const float *x = c->x + (size_t)near_row * c->columns + near_column;
        float *place = to + (down * c->side + right) * BLOCK_P;
        for (u32 k = 0; k < c->channels_in; k++) {
          *place = inside ? *x : 0;
          place += c->side * c->side * BLOCK_P;
          x += (size_t)c->rows * c->columns;
        }
      }
    }
  }
}

// Not twice in the file: a call is nothing beside the sums.
static __attribute__((noinline)) void sum_block(const float *w, const float *x, u32 depth, const float *bias,
                                                float *out, size_t row) {
  v128_t a0 = wasm_v128_load32_splat(bias), a1 = a0;
  v128_t b0 = wasm_v128_load32_splat(bias + 1), b1 = b0;
  v128_t c0 = wasm_v128_load32_splat(bias + 2), c1 = c0;
  v128_t d0 = wasm_v128_load32_splat(bias + 3), d1 = d0;
  for (u32 k = 0; k < depth; k++) {
    v128_t x0 = wasm_v128_load(x), x1 = wasm_v128_load(x + 4), f;
    f = wasm_v128_load32_splat(w);
    a0 = wasm_f32x4_add(a0, wasm_f32x4_mul(x0, f));
    a1 = wasm_f32x4_add(a1, wasm_f32x4_mul(x1, f));
    f = wasm_v128_load32_splat(w + 1);
    b0 = wasm_f32x4_add(b0, wasm_f32x4_mul(x0, f));
    b1 = wasm_f32x4_add(b1, wasm_f32x4_mul(x1, f));
    f = wasm_v128_load32_splat(w + 2);
    c0 = wasm_f32x4_add(c0, wasm_f32x4_mul(x0, f));
    c1 = wasm_f32x4_add(c1, wasm_f32x4_mul(x1, f));
    f = wasm_v128_load32_splat(w + 3);
    d0 = wasm_f32x4_add(d0, wasm_f32x4_mul(x0, f));
    d1 = wasm_f32x4_add(d1, wasm_f32x4_mul(x1, f));
    w += BLOCK_M;
    x += BLOCK_P;
  }
  wasm_v128_store(out, a0), wasm_v128_store(out + 4, a1);
  wasm_v128_store(out + row, b0), wasm_v128_store(out + row + 4, b1);
  wasm_v128_store(out + 2 * row, c0), wasm_v128_store(out + 2 * row + 4, c1);
  wasm_v128_store(out + 3 * row, d0), wasm_v128_store(out + 3 * row + 4, d1);
}

// A square window over all channels.
void EXPORT(convolve)(const Convolution *c) {
  u32 pixels = c->rows_out * c->columns_out, depth = c->channels_in * c->side * c->side;
  float block[BLOCK_M * BLOCK_P];
  for (u32 first = 0; first < pixels; first += PANEL) {
    u32 count = pixels - first < PANEL ? pixels - first : PANEL;
    if (c->side == 1) gather_points(c, first, count, pixels);
    else gather_windows(c, first, count);
    for (u32 m = 0; m < c->channels_out; m += BLOCK_M) {
      u32 channels = c->channels_out - m < BLOCK_M ? c->channels_out - m : BLOCK_M;
      const float *w = c->weights + (size_t)m * depth;
      float *out = c->out + (size_t)m * pixels + first;
      for (u32 p = 0; p < count; p += BLOCK_P) {
        const float *x = c->panel + (size_t)p * depth;
        if (channels == BLOCK_M && p + BLOCK_P <= count) {
          sum_block(w, x, depth, c->bias + m, out + p, pixels);
          continue;
        }
        sum_block(w, x, depth, c->bias + m, block, BLOCK_P);
        for (u32 i = 0; i < channels; i++)
          for (u32 j = 0; j < BLOCK_P && p + j < count; j++) out[(size_t)i * pixels + p + j] = block[i * BLOCK_P + j];
      }
      if (c->step_count)
        for (u32 i = 0; i < channels; i++)
          apply_steps(c->steps, c->step_count, out + (size_t)i * pixels, count, m + i, (m + i) * pixels + first);
    }
  }
}

static void padded_row(const Convolution *c, const float *plane, i32 row, float *to) {
  i32 near_row = clamped(row, (i32)c->rows);
  if (!c->edge && near_row != row) {
    clear_bytes(to, (c->columns + 2) * sizeof(float));
    return;
  }
  const float *x = plane + (size_t)near_row * c->columns;
  copy_bytes(to + 1, x, c->columns * sizeof(float));
  to[0] = c->edge ? x[0] : 0;
  to[c->columns + 1] = c->edge ? x[c->columns - 1] : 0;
}

static void sum_row(const float *w, float bias, const float *above, const float *here, const float *below, float *out,
                    u32 columns) {
  v128_t ws[9];
  for (u32 k = 0; k < 9; k++) ws[k] = wasm_v128_load32_splat(w + k);
  v128_t start = wasm_f32x4_splat(bias);
#define TAP(sum, k, from) sum = wasm_f32x4_add(sum, wasm_f32x4_mul(wasm_v128_load(from), ws[k]))
  for (u32 i = 0; i < columns; i += 4) {
    v128_t s = start;
    TAP(s, 0, above + i), TAP(s, 1, above + i + 1), TAP(s, 2, above + i + 2);
    TAP(s, 3, here + i), TAP(s, 4, here + i + 1), TAP(s, 5, here + i + 2);
    TAP(s, 6, below + i), TAP(s, 7, below + i + 1), TAP(s, 8, below + i + 2);
    if (i + 4 <= columns) {
      wasm_v128_store(out + i, s);
    } else {  // what the panel has beyond a row counts for nothing
      float last[4];
      wasm_v128_store(last, s);
      for (u32 k = 0; i + k < columns; k++) out[i + k] = last[k];
    }
  }
}

// A window of 3x3 over each channel alone, weights [channels][9]; `panel` has room for 3 * (columns + 2) numbers.
void EXPORT(convolve_depthwise)(const Convolution *c) {
  u32 pixels = c->rows * c->columns, width = c->columns + 2;
  for (u32 channel = 0; channel < c->channels_in; channel++) {
    const float *plane = c->x + (size_t)channel * pixels, *w = c->weights + channel * 9;
    for (i32 row = -1; row < 1; row++) padded_row(c, plane, row, c->panel + (row + 1) * width);
    for (u32 row = 0; row < c->rows; row++) {
      padded_row(c, plane, (i32)row + 1, c->panel + (row + 2) % 3 * width);
      u32 first = channel * pixels + row * c->columns;
      sum_row(w, c->bias[channel], c->panel + row % 3 * width, c->panel + (row + 1) % 3 * width,
              c->panel + (row + 2) % 3 * width, c->out + first, c->columns);
      apply_steps(c->steps, c->step_count, c->out + first, c->columns, channel, first);
    }
  }
}
