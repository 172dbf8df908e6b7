"""Whoever holds the secret key. Nothing of this folder runs on a server."""
