// Elements moved from one order to another, and floats made to samples.
#include "types.h"

// out, in order, of x with a stride for each of five axes: Transpose, DepthToSpace, Slice, Concat.
void EXPORT(rearrange)(float *out, const float *x, const i32 *sizes, const i32 *strides) {
  for (i32 a = 0; a < sizes[0]; a++)
    for (i32 b = 0; b < sizes[1]; b++)
      for (i32 c = 0; c < sizes[2]; c++)
        for (i32 d = 0; d < sizes[3]; d++) {
          const float *from = x + a * strides[0] + b * strides[1] + c * strides[2] + d * strides[3];
          if (strides[4] == 1) {
            copy_bytes(out, from, sizes[4] * sizeof(float));
            out += sizes[4];
          } else {
            for (i32 e = 0; e < sizes[4]; e++, from += strides[4]) *out++ = *from;
          }
        }
}

// Samples of a picture [3][rows][columns] of 0..1, from a corner on: out[height][width][3] of two bytes each.
// 0 where a number is none.
i32 EXPORT(to_samples)(u16 *out, const float *image, u32 rows, u32 columns, u32 top, u32 left, u32 height, u32 width,
                       float white) {
  i32 sound = 1;
  for (u32 channel = 0; channel < 3; channel++)
    for (u32 y = 0; y < height; y++) {
      const float *row = image + ((size_t)channel * rows + top + y) * columns + left;
      u16 *to = out + (size_t)y * width * 3 + channel;
      for (u32 x = 0; x < width; x++, to += 3) {
        float value = row[x] * white;
        if (value != value) sound = 0;
        value = __builtin_rintf(value);
        *to = value <= 0 ? 0 : value >= white ? (u16)white : (u16)value;
      }
    }
  return sound;
}
