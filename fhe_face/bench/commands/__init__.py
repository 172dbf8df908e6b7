"""The commands below `fhe-face bench`."""
