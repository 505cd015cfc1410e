// Elementwise arithmetic in place: float32 as ONNX's operators do it, each rounded on its own.
#include "steps.h"

// x[0..count), a multiple of four.
#define EACH(vector)                      \
  for (u32 i = 0; i < count; i += 4) {    \
    v128_t v = wasm_v128_load(x + i);     \
    wasm_v128_store(x + i, vector);       \
  }                                       \
  break;

#define OTHER (each ? wasm_v128_load(values + i) : one)

// With one number, or with one for each element.
static void combine(i32 kind, float *x, u32 count, const float *values, i32 each) {
  v128_t one = wasm_v128_load32_splat(values);
  switch (kind) {
    case 0: EACH(wasm_f32x4_mul(v, OTHER))
    case 1: EACH(wasm_f32x4_add(v, OTHER))
    default: EACH(wasm_f32x4_div(v, OTHER))
  }
}

static void apply_step(const Step *step, float *x, u32 count, u32 channel, u32 first) {
  i32 kind = step->kind;
  if (kind < LEAKY_RELU) {
    i32 with = kind % 3;
    combine(kind / 3, x, count, with == 0 ? &step->a : step->values + (with == 1 ? channel : first), with == 2);
    return;
  }
  v128_t a = wasm_v128_load32_splat(&step->a), b = wasm_v128_load32_splat(&step->b);
  switch (kind) {
    case LEAKY_RELU: EACH(wasm_v128_bitselect(wasm_f32x4_mul(v, a), v, wasm_f32x4_lt(v, wasm_f32x4_const_splat(0))))
    case FLOOR: EACH(wasm_f32x4_floor(v))
    case CLIP: EACH(wasm_f32x4_min(wasm_f32x4_max(v, a), b))
    case ABS: EACH(wasm_f32x4_abs(v))
  }
}

// The last elements are worked on in a vector of their own; beside the values for them others may be read, which lie in
// memory that each piece has beyond its end.
void apply_steps(const Step *steps, u32 step_count, float *x, u32 count, u32 channel, u32 first) {
  u32 whole = count & ~3u, rest = count & 3;
  for (const Step *step = steps; step < steps + step_count; step++) apply_step(step, x, whole, channel, first);
  if (!rest) return;
  float last[4] = {0};
  for (u32 i = 0; i < rest; i++) last[i] = x[whole + i];
  for (const Step *step = steps; step < steps + step_count; step++) apply_step(step, last, 4, channel, first + whole);
  for (u32 i = 0; i < rest; i++) x[whole + i] = last[i];
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
