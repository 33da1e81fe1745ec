"""Doors to the world: files, keys, wasm-tools, wasmtime, llama.cpp. One heavy library, one door."""
