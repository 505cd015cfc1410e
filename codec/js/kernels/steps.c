// Elementwise arithmetic in place: float32 as ONNX's operators do it, each rounded on its own.
#include "steps.h"

#define EACH(vector, scalar)                                   \
  {                                                            \
    u32 i = 0;                                                 \
    for (; i + 4 <= count; i += 4) {                           \
      v128_t v = wasm_v128_load(x + i);                        \
      wasm_v128_store(x + i, vector);                          \
    }                                                          \
    for (; i < count; i++) {                                   \
      float v = x[i];                                          \
      x[i] = scalar;                                           \
    }                                                          \
    break;                                                     \
  }

static void with_one(i32 kind, float *x, u32 count, float c) {
  v128_t cs = wasm_f32x4_splat(c);
  switch (kind) {
    case 0: EACH(wasm_f32x4_mul(v, cs), v * c)
    case 1: EACH(wasm_f32x4_add(v, cs), v + c)
    default: EACH(wasm_f32x4_div(v, cs), v / c)
  }
}

static void with_each(i32 kind, float *x, u32 count, const float *t) {
  switch (kind) {
    case 0: EACH(wasm_f32x4_mul(v, wasm_v128_load(t + i)), v * t[i])
    case 1: EACH(wasm_f32x4_add(v, wasm_v128_load(t + i)), v + t[i])
    default: EACH(wasm_f32x4_div(v, wasm_v128_load(t + i)), v / t[i])
  }
}

static void leaky_relu(float *x, u32 count, float slope) {
  v128_t slopes = wasm_f32x4_splat(slope), zero = wasm_f32x4_const_splat(0);
  u32 i = 0;
  for (; i + 4 <= count; i += 4) {
    v128_t v = wasm_v128_load(x + i);
    v128_t scaled = wasm_f32x4_mul(v, slopes);
    wasm_v128_store(x + i, wasm_v128_bitselect(scaled, v, wasm_f32x4_lt(v, zero)));
  }
  for (; i < count; i++) x[i] = x[i] < 0 ? x[i] * slope : x[i];
}

static void clip(float *x, u32 count, float low, float high) {
  v128_t lows = wasm_f32x4_splat(low), highs = wasm_f32x4_splat(high);
  u32 i = 0;
  for (; i + 4 <= count; i += 4)
    wasm_v128_store(x + i, wasm_f32x4_min(wasm_f32x4_max(wasm_v128_load(x + i), lows), highs));
  for (; i < count; i++) x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

void apply_steps(const Step *steps, u32 step_count, float *x, u32 count, u32 channel, u32 first) {
  for (const Step *step = steps; step < steps + step_count; step++) {
    i32 kind = step->kind;
    if (kind < LEAKY_RELU) {
      if (kind % 3 == 0) with_one(kind / 3, x, count, step->a);
      else if (kind % 3 == 1) with_one(kind / 3, x, count, step->values[channel]);
      else with_each(kind / 3, x, count, step->values + first);
      continue;
    }
    switch (kind) {
      case LEAKY_RELU: leaky_relu(x, count, step->a); break;
      case FLOOR: EACH(wasm_f32x4_floor(v), __builtin_floorf(v))
      case CLIP: clip(x, count, step->a, step->b); break;
      case ABS: EACH(wasm_f32x4_abs(v), __builtin_fabsf(v))
    }
  }
}

// Elements taken at once, so that they stay in the nearest cache from step to step.
#define SPAN 2048

// out[channels][pixels] = steps of x.
void EXPORT(elementwise)(float *out, const float *x, u32 channels, u32 pixels, const Step *steps, u32 step_count) {
  for (u32 channel = 0; channel < channels; channel++)
    for (u32 at = 0; at < pixels; at += SPAN) {
      u32 count = pixels - at < SPAN ? pixels - at : SPAN, first = channel * pixels + at;
      if (out != x) copy_bytes(out + first, x + first, count * sizeof(float));
      apply_steps(steps, step_count, out + first, count, channel, first);
    }
}
