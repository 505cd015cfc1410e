// What follows a convolution, element by element, without another way through memory.
#pragma once
#include "types.h"

enum StepKind {
  // With one number, with one for each channel, with one for each element: in this order.
  MUL_ONE, MUL_CHANNEL, MUL_EACH,
  ADD_ONE, ADD_CHANNEL, ADD_EACH,
  DIV_ONE, DIV_CHANNEL, DIV_EACH,
  LEAKY_RELU, FLOOR, CLIP, ABS,
};

typedef struct {
  i32 kind;
  float a, b;
  const float *values;
} Step;

// x[0..count) of a channel, of which the first is element `first` of the whole tensor.
void apply_steps(const Step *steps, u32 step_count, float *x, u32 count, u32 channel, u32 first);
