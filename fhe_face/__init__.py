"""Face embeddings and matches computed under CKKS homomorphic encryption.

    >>> from fhe_face import FaceClient, FaceServer, prepare

`FaceClient` holds the secret key, `FaceServer` holds what a server may know, `prepare` makes a face
of a photo, a `Gallery` finds people on photos. Names are loaded when they are first used, so that a
server never loads the client.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhe_core.errors import Failure
    from fhe_core.formats.ciphertexts import Bundle
    from fhe_face.circuit import CircuitError
    from fhe_face.client.client import FaceClient
    from fhe_face.client.decryption import Embedding, Score
    from fhe_face.client.health import HealthReport, UnhealthyResultError
    from fhe_face.client.verification import Verification
    from fhe_face.gallery.embedders import EncryptedEmbedder, LocalEmbedder
    from fhe_face.gallery.gallery import Gallery
    from fhe_face.network import load_thresholds
    from fhe_face.photos.images import ImageError
    from fhe_face.photos.preparation import PreparedFace, prepare
    from fhe_face.remote.gallery import RemoteGallery
    from fhe_face.remote.server import RemoteServer
    from fhe_face.server.server import FaceServer

    __version__: str

_HOMES = {
    "Bundle": "fhe_core.formats.ciphertexts",
    "CircuitError": "fhe_face.circuit",
    "Embedding": "fhe_face.client.decryption",
    "EncryptedEmbedder": "fhe_face.gallery.embedders",
    "FaceClient": "fhe_face.client.client",
    "FaceServer": "fhe_face.server.server",
    "Failure": "fhe_core.errors",
    "Gallery": "fhe_face.gallery.gallery",
    "HealthReport": "fhe_face.client.health",
    "ImageError": "fhe_face.photos.images",
    "LocalEmbedder": "fhe_face.gallery.embedders",
    "PreparedFace": "fhe_face.photos.preparation",
    "RemoteGallery": "fhe_face.remote.gallery",
    "RemoteServer": "fhe_face.remote.server",
    "Score": "fhe_face.client.decryption",
    "UnhealthyResultError": "fhe_face.client.health",
    "Verification": "fhe_face.client.verification",
    "load_thresholds": "fhe_face.network",
    "prepare": "fhe_face.photos.preparation",
}

__all__ = [
    "Bundle",
    "CircuitError",
    "Embedding",
    "EncryptedEmbedder",
    "FaceClient",
    "FaceServer",
    "Failure",
    "Gallery",
    "HealthReport",
    "ImageError",
    "LocalEmbedder",
    "PreparedFace",
    "RemoteGallery",
    "RemoteServer",
    "Score",
    "UnhealthyResultError",
    "Verification",
    "__version__",
    "load_thresholds",
    "prepare",
]


def __getattr__(name: str) -> Any:
    """A public name, loaded when it is first used; MissingExtra where that takes more packages."""
    if name == "__version__":
        return version("fhe-face")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fhe_face' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
