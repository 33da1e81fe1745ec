"""A conformance suite for wasi:nn hosts: what is right when a guest misbehaves (README.md)."""
