"""Hostile input for every parser: seeds, mutations that keep the structure, and what may happen."""
