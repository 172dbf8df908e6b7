"""From embeddings to what is searched: unit vectors, a person's mean, less the gallery's mean.

Why: docs/gallery.md. All of it is linear up to lengths: a sealed gallery can have it for nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure

Array = NDArray[np.float64]

#: Shorter vectors have no direction that means anything.
_SHORTEST = 1e-9


class TemplateError(Failure, ValueError):
    """Embeddings that make no template; the text says why."""

    code = "template"


def unit(vectors: Array) -> Array:
    """Vectors (..., F) of length one; those without a direction become zeros, similar to nobody.

    Raises:
        TemplateError: a number is not finite: such a face has no embedding.
    """
    if not np.isfinite(vectors).all():
        raise TemplateError("an embedding is not finite: refused faces have none")
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    usable = lengths > _SHORTEST
    return np.asarray(np.where(usable, vectors / np.where(usable, lengths, 1.0), 0.0))


def mean_template(embeddings: Array, weights: Array | None = None) -> Array:
    """The unit mean (F,) of unit embeddings (k, F).

    weights: (k,) of each, such as the quality of its photo; 0 leaves it out; default: equal.

    Raises:
        TemplateError: no embedding, or weights that are negative, not finite, or all zero.
    """
    given = np.ones(len(embeddings)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(embeddings) or given.shape != (len(embeddings),):
        raise TemplateError(f"{len(embeddings)} embeddings with weights {given.shape}")
    if not (np.isfinite(given).all() and (given >= 0).all() and given.any()):
        raise TemplateError("weights must be at least 0, and not all 0")
    return unit(given @ embeddings)


def centred(templates: Array, centre: Array | None) -> Array:
    """Templates (..., F) less the gallery's mean, of length one again; as they are without one.

    Zeros stay zeros, similar to nobody.
    """
    if centre is None:
        return templates
    return np.where(templates.any(axis=-1, keepdims=True), unit(templates - centre), 0.0)


def mean_templates(
    embeddings: Array, labels: NDArray[np.int64], weights: Array | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """A template for everybody: (T, F), and whose they are, (T,), in the order of their numbers.

    embeddings: (N, F) of length one, labels: (N,) whose; weights: (N,) of each photo, 0 leaves it
    out. Somebody of whom nothing weighs anything has no template.

    Raises:
        TemplateError: as `mean_template`, or nobody is left.
    """
    given = np.ones(len(labels)) if weights is None else np.asarray(weights, dtype=np.float64)
    if given.shape != labels.shape or embeddings.shape[:1] != labels.shape:
        raise TemplateError(f"{len(embeddings)} embeddings, {len(labels)} labels, {given.shape}")
    people = np.unique(labels[given != 0])
    if not len(people):
        raise TemplateError("no embedding weighs anything: there is nobody to make a template of")
    own = (labels == person for person in people)
    return np.stack([mean_template(embeddings[rows], given[rows]) for rows in own]), people
