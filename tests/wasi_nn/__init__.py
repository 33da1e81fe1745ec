"""A conformance suite for wasi:nn hosts: what a host must do when a guest misbehaves (README.md)."""
