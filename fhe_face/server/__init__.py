"""Whoever holds evaluation keys and weights. Nothing that this folder reaches can decrypt."""
