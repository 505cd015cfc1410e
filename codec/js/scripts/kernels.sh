#!/bin/sh
# Compiles the kernels to build/kernels.wasm: for speed where the time goes, for size elsewhere. Needs clang and wasm-ld.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
for file in kernels/*.c; do
    name=$(basename "$file" .c)
    case "$name" in
    convolution | entropy) optimize="-O2 -fno-unroll-loops" ;;
    steps) optimize=-Os ;;
    *) optimize="-Oz -fno-inline-functions" ;;
    esac
    clang --target=wasm32 -std=c11 $optimize -msimd128 -mbulk-memory -ffp-contract=off -fno-math-errno -ffreestanding \
        -Wall -Wextra -Werror -Wno-parentheses -Wno-bitwise-op-parentheses -c -o "build/$name.o" "$file"
done
wasm-ld --no-entry --strip-all -z stack-size=65536 --export=__heap_base --gc-sections --compress-relocations \
    -o build/kernels.wasm build/*.o
