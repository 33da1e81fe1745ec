"""Sign, describe and run LLM features that ship as WebAssembly components."""

__version__ = "0.1.0"
