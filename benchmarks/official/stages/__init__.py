"""The stages of the public face-verification benchmark (docs/official.md), each side apart."""
