"""Reference forward pass of the fused network in numpy, float64: the answer to compare with."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fhe_face.models.layers import POOL, Array, FusedConv, FusedNetwork

Trace = list[tuple[str, Array]]
#: Given a tensor's name and its values, what the network goes on with.
Disturb = Callable[[str, Array], Array]
_CHUNK: Final = 8


def embed(
    network: FusedNetwork,
    images: NDArray[Any],
    trace: Trace | None = None,
    disturb: Disturb | None = None,
) -> Array:
    """Embeddings before normalisation, (B, E).

    images: uint8 (B, S, S, 3) RGB, or float64 (B, 3, S, S) in [-1, 1], S the input size.
    trace: a list to which (name, tensor) pairs are appended: "input" (B, P, 3, H, W), "stem",
    "block{j}.square1", ".conv1", ".square2", ".out", "final.square", "pooled" (all
    (B, P, C, H, W)) and "embedding" (B, E); they are the z and s of fhe_face.models.layers.
    disturb: called with each of these in turn; what it returns takes the tensor's place.
    Diverging images give inf or NaN without warnings. ValueError: wrong shape, type or range.
    """
    unit = unit_images(images, network.input_size)
    outputs = []
    traces: list[Trace] = []
    with np.errstate(all="ignore"):
        for start in range(0, len(unit), _CHUNK):
            steps: Trace = []
            outputs.append(_forward(network, unit[start : start + _CHUNK], steps, disturb))
            if trace is not None:
                traces.append(steps)
    if trace is not None:
        for group in zip(*traces, strict=True):
            trace.append((group[0][0], np.concatenate([tensor for _, tensor in group])))
    return np.concatenate(outputs) if outputs else np.zeros((0, network.embedding))


def normalise(embedding: Array, coefficients: Sequence[float]) -> Array:
    """embedding · p(y), with y its squared norm and p given highest degree first.

    embedding: (..., E). Diverging embeddings give inf or NaN without warnings.
    """
    with np.errstate(all="ignore"):
        factor = np.polyval(np.asarray(coefficients, dtype=np.float64), squared_norm(embedding))
        return np.asarray(embedding * factor[..., None], dtype=np.float64)


def squared_norm(embedding: Array) -> Array:
    """Sum of squares over the last axis, in float64, without warnings."""
    with np.errstate(all="ignore"):
        return np.asarray(np.sum(np.square(embedding), axis=-1), dtype=np.float64)


def unit_images(images: NDArray[Any], size: int) -> Array:
    """The input of the network, (B, 3, S, S), from uint8 (B, S, S, 3) or float64 (B, 3, S, S).

    ValueError: another shape or type, or finite values outside [-1, 1] (NaN goes through).
    """
    if images.dtype == np.uint8:
        if images.ndim != 4 or images.shape[1:] != (size, size, 3):
            raise ValueError(f"uint8 images: {images.shape}, it must be (B, {size}, {size}, 3)")
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        return np.asarray(pixels / 127.5 - 1, dtype=np.float64)
    if images.dtype != np.float64:
        raise ValueError(f"images: type {images.dtype}; it must be uint8 or float64 in [-1, 1]")
    if images.ndim != 4 or images.shape[1:] != (3, size, size):
        raise ValueError(f"float images: {images.shape}, it must be (B, 3, {size}, {size})")
    if (np.abs(images[np.isfinite(images)]) > 1 + 1e-9).any():
        raise ValueError("float images: values outside [-1, 1]; use pixel / 127.5 - 1")
    return np.asarray(images, dtype=np.float64)


def split_patches(images: Array, patch: int) -> Array:
    """Images (B, C, S, S) to patches (B, P, C, patch, patch), row-major over the image."""
    count, channels, size, _ = images.shape
    side = size // patch
    tiles = images.reshape(count, channels, side, patch, side, patch)
    tiles = tiles.transpose(0, 2, 4, 1, 3, 5)
    return np.asarray(tiles.reshape(count, side * side, channels, patch, patch))


def convolve(tensor: Array, conv: FusedConv) -> Array:
    """The convolution of each patch, bias included: (B, P, Cin, H, W) to (B, P, Cout, H', W')."""
    k, step, pad = conv.kernel, conv.stride, conv.padding
    high, wide = (conv.output_size(n) for n in tensor.shape[3:])
    flat = conv.weight.reshape(conv.patches, conv.outputs, -1)
    out = np.empty((len(tensor), conv.patches, conv.outputs, high * wide))
    for image, result in zip(tensor, out, strict=True):  # one at a time: columns are large
        padded = np.pad(image, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::step, ::step]
        columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(conv.patches, -1, high * wide)
        np.matmul(flat, columns, out=result)
        result += conv.bias[:, :, None]
    return out.reshape(len(tensor), conv.patches, conv.outputs, high, wide)


def pool(tensor: Array) -> Array:
    """Average pooling of (..., H, W) to (..., 2, 2)."""
    high, wide = (n // POOL for n in tensor.shape[-2:])
    tiles = tensor.reshape(*tensor.shape[:-2], POOL, high, POOL, wide)
    return np.asarray(tiles.mean(axis=(-3, -1)))


def _spread(per_channel: Array) -> Array:
    return np.asarray(per_channel[:, :, None, None])


def _forward(
    network: FusedNetwork, images: Array, trace: Trace, disturb: Disturb | None = None
) -> Array:
    def note(name: str, tensor: Array) -> Array:
        if disturb is not None:
            tensor = disturb(name, tensor)
        trace.append((name, tensor))
        return tensor

    z = note("input", split_patches(images, network.patch_size))
    z = note("stem", convolve(z, network.stem))
    for j, block in enumerate(network.blocks):
        first = note(f"block{j}.square1", z**2 + _spread(block.offset1))
        z = note(f"block{j}.conv1", convolve(first, block.conv1))
        second = note(f"block{j}.square2", z**2 + _spread(block.offset2))
        if block.projects:
            step = block.conv1.stride
            taken = first[..., ::step, ::step]
            beside = np.einsum("poi,bpihw->bpohw", block.shortcut, taken, optimize=True)
        else:
            beside = first * _spread(block.shortcut)
        z = note(f"block{j}.out", convolve(second, block.conv2) + beside)
    pooled = note("pooled", pool(note("final.square", z**2 + _spread(network.final_offset))))
    flat = pooled.reshape(len(pooled), -1)
    weight = network.head_weight.reshape(network.embedding, -1)
    return note("embedding", flat @ weight.T + network.head_bias)
