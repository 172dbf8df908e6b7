"""From aligned crops to embeddings whose inner products are scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.evaluation.scores import Array
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import squared_norm
from fhe_face.models.single import SingleNetwork

Mode = Literal["cleartext", "polynomial"]
_CHUNK: Final = 16
_PIXEL_SIDE: Final = 32


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Raw embeddings of N images, before normalisation.

    views: (V, N, E), V = 2 with the mirror images, else 1; they may be NaN or infinite.
    """

    views: Array

    @property
    def raw(self) -> Array:
        """(N, E): the mean over the views, as the encrypted network takes it too."""
        with np.errstate(all="ignore"):
            return np.asarray(self.views.mean(axis=0))

    @property
    def squared_norms(self) -> Array:
        """Squared norms (N,) before normalisation, of the mean over the views."""
        return squared_norm(self.raw)

    def healthy(self, interval: tuple[float, float]) -> NDArray[np.bool_]:
        """(N,): whether the squared norm lies in the polynomial's interval, ends included.

        This is the rule for encrypted results; NaN and infinity lie outside.
        """
        low, high = interval
        norms = self.squared_norms
        return np.asarray((norms >= low) & (norms <= high))

    def normalised(self, mode: Mode, normalisation: FittedNormalisation) -> Array:
        """Embeddings (N, E): the inner product of two is their score.

        cleartext: of norm 1, the score is the cosine. polynomial: multiplied by the polynomial in
        their squared norm, which is what encrypted ones are. Unhealthy images give numbers
        without meaning.
        """
        with np.errstate(all="ignore"):
            if mode == "cleartext":
                return unit(self.raw)
            return np.asarray(self.raw * normalisation.evaluate(self.squared_norms)[:, None])

    def paired_similarity(self, chosen: NDArray[np.bool_]) -> float | None:
        """Mean cosine of the chosen images and their mirror images; None with one view.

        It says nothing about recognition: both are the same photo.
        """
        if len(self.views) != 2 or not chosen.any():
            return None
        return paired_similarity(*(view[chosen] for view in self.views))


def paired_similarity(images: Array, copies: Array) -> float:
    """Mean cosine between embeddings (N, E) of images and of changed copies of the same images.

    Something to log while training. It is not a validation: a model that keeps what a picture
    looks like and forgets who it shows gets nearly 1.
    """
    return float(np.mean(np.sum(unit(images) * unit(copies), axis=-1)))


def unit(embeddings: Array) -> Array:
    """Vectors (..., E) divided by their norms."""
    return np.asarray(embeddings / np.sqrt(squared_norm(embeddings))[..., None])


def embed_crops(
    network: FusedNetwork,
    crops: NDArray[np.uint8],
    *,
    flip: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Embeddings:
    """Raw embeddings of aligned crops, uint8 (N, S, S, 3) RGB, with the digits of float32.

    flip: also of the mirror images; progress: called with images done and their number.
    ValueError: crops of another size or type.
    """
    single = SingleNetwork(network)
    views = [crops, crops[:, :, ::-1]] if flip else [crops]
    total = len(views) * len(crops)
    done, embedded = 0, []
    for view in views:
        parts = []
        for start in range(0, len(view), _CHUNK):
            parts.append(single.embed(view[start : start + _CHUNK]))
            done += len(parts[-1])
            if progress is not None:
                progress(done, total)
        embedded.append(np.concatenate(parts) if parts else single.embed(view))
    return Embeddings(np.stack(embedded))


def pixels_as_embeddings(crops: NDArray[np.uint8]) -> Array:
    """Crops (N, S, S, 3), S a multiple of 32, as vectors of norm 1: what no network at all gets.

    Reduced to 32x32 pixels, minus the mean of each crop; an evenly coloured crop gives zeros.
    """
    count, size = crops.shape[:2]
    step = size // _PIXEL_SIDE
    tiles = crops.reshape(count, _PIXEL_SIDE, step, _PIXEL_SIDE, step, 3)
    flat = tiles.mean(axis=(2, 4)).reshape(count, 3 * _PIXEL_SIDE**2)
    flat -= flat.mean(axis=1, keepdims=True)
    norms = np.sqrt(squared_norm(flat))
    return np.asarray(flat / np.where(norms > 0, norms, 1)[:, None])
