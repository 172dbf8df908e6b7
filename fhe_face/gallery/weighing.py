"""What a photo counts for: a record is a unit embedding times its photo's weight.

A subject's template is the mean of its records, so nothing but this file knows of weights; a blank
record weighs nothing, and one of an older gallery one. The server sees neither.
"""

from __future__ import annotations

import numpy as np

from fhe_face.client.decryption import Embedding
from fhe_face.models.quality import photo_weights
from fhe_face.models.templates import Array, unit
from fhe_face.photos.images import to_pixels
from fhe_face.photos.preparation import PreparedFace


def weighed(embedding: Embedding, face: PreparedFace) -> Array:
    """What is sealed for a face: (F,), of a length from 0.05 to 1."""
    weight = float(photo_weights(to_pixels(face.unit)[None])[0])
    return np.asarray(weight * unit(embedding.values))
