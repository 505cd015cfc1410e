#!/bin/sh
# Compiles the kernels to build/learned.wasm and build/exact.wasm: for speed where the time goes, for size elsewhere.
# Needs clang and wasm-ld.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
compile() {
    clang --target=wasm32 -std=c11 $2 -msimd128 -mbulk-memory -ffp-contract=off -fno-math-errno -ffreestanding \
        -Wall -Wextra -Werror -Wno-parentheses -Wno-bitwise-op-parentheses -c -o "build/$1.o" "kernels/$1.c"
}
link() {
    out=$1
    shift
    wasm-ld --no-entry --strip-all -z stack-size=65536 --export=__heap_base --gc-sections --compress-relocations \
        -o "$out" "$@"
}
compile convolution -Os
compile entropy -Os
compile steps -Os
for name in hashes inflate layout vp8l; do
    compile $name "-Oz -fno-inline-functions"
done
link build/learned.wasm build/convolution.o build/entropy.o build/hashes.o build/layout.o build/steps.o
link build/exact.wasm build/inflate.o build/vp8l.o
