"""infwasi under the public sigstore-conformance suite, and our own runner over its vectors."""
