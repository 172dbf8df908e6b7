"""From photos to faces that can be encrypted: decoding, finding, aligning. No keys here."""
