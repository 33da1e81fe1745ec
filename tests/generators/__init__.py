"""Other generators of bills of materials, judged by our checker beside our own (docs/ml-bom.md)."""
