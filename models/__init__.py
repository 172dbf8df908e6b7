"""Plaintext side of the network: the torch twin, its fused form, checkpoints and references.

Importing this package imports nothing else; torch is imported only by ``models.herpn`` and
``models.cryptoface`` (and by ``models.checkpoint`` when it meets a torch file).
"""
