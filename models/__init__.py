"""Plaintext side of the network: the torch twin, its fused form, checkpoints and references.

Importing this package imports nothing else; torch is imported only by ``fhe_face.models.herpn`` and
``fhe_face.models.cryptoface`` (and by ``fhe_face.models.checkpoint`` when it meets a torch file).
"""
