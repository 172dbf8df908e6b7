"""Polynomials that replace 1/√y in the normalisation of embeddings: fits and their files."""
