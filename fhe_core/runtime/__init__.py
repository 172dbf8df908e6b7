"""Backends that run plans: native, several steps side by side, and in the clear."""
