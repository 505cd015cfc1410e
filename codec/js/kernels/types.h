// What all kernels share. They are compiled without a C library: only what the compiler brings.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;

// A name that JavaScript calls.
#define EXPORT(name) __attribute__((export_name(#name))) name

#define copy_bytes(to, from, count) __builtin_memcpy(to, from, count)
#define clear_bytes(to, count) __builtin_memset(to, 0, count)

u32 crc32_of(const u8 *bytes, u32 count, u32 start);
