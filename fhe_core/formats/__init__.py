"""What crosses as files: ciphertexts and evaluation keys."""
