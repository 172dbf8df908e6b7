"""What both engines of a person know: weights, the circuit, keys that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.container import Kind, read_header, require_match
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.client.ledger import Warn
from fhe_face.engine import Engine as Circuits
from fhe_face.engine import choose_engine, engine_for, key_bytes
from fhe_face.failures import UsageError
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.local.searching import search_apart
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.thresholds import Thresholds
from fhe_face.network import caution, recommended_normalisation, thresholds_of, weights_file
from fhe_face.photos.preparation import PreparedFace
from fhe_face.progress import Stage
from fhe_face.studio.engine import Facts, Result, Tell, security_bits
from fhe_face.studio.progress import Side

REMEDY = "; set TMPDIR to a folder elsewhere"


@dataclass(frozen=True)
class Wanted:
    """What the options ask for. keys: a folder from keygen; None: fresh keys, not kept, for faces
    in so many views."""

    weights: Path
    keys: Path | None
    passphrase: Passphrase
    threads: int
    warn: Warn
    views: int = 1


class OwnNetwork:
    """The half of an engine that needs no server. server: where that is, None: on this machine."""

    server: str | None = None

    def __init__(self, wanted: Wanted) -> None:
        """Reads weights, and the header of the keys: errors are told before a page is opened.

        Raises:
            CheckpointError, WeightsError, ContainerError: files that cannot be used, or together.
        """
        self.wanted = wanted
        self.checkpoint = load(weights_file(wanted.weights))
        self.circuits = _circuits(wanted, self.checkpoint)
        self.clear = LocalEmbedder(
            self.checkpoint,
            self.circuits.circuit.normalisation,
            self.circuits.circuit.views,
        )
        # Asks for a passphrase while there is only the terminal.
        self.kept = None if wanted.keys is None else _kept(wanted, wanted.keys)

    @property
    def facts(self) -> Facts:
        """As `Engine.facts`."""
        parameters = self.circuits.parameters
        return Facts(
            str(self.wanted.weights),
            parameters.name,
            parameters.ring_dimension,
            parameters.log2_qp,
            security_bits(parameters),
            key_bytes(self.circuits.keys(), parameters),
            caution(self.checkpoint),
            self.server,
        )

    @property
    def model(self) -> str:
        """As `Engine.model`."""
        return self.checkpoint.tensors_sha256

    @property
    def size(self) -> int:
        """As `Engine.size`."""
        return self.checkpoint.input_size

    @property
    def views(self) -> int:
        """As `Engine.views`."""
        return self.circuits.circuit.views

    @property
    def thresholds(self) -> Thresholds | None:
        """Of the weights."""
        return thresholds_of(self.checkpoint)

    def in_the_clear(self, faces: Sequence[PreparedFace]) -> list[Result]:
        """As `Engine.in_the_clear`."""
        return self.clear.embed(faces)

    def gallery(self, folder: Path) -> Gallery:
        """As `Engine.gallery`, for these weights."""
        made = Gallery.create(folder, self.wanted.weights, names=True, flip=self.views > 1)
        search_apart(made)
        return made


def telling(side: Side, tell: Tell) -> Stage:
    """A stage that says who does it."""
    return lambda what, done, total: tell(side, what, done, total)


def _circuits(wanted: Wanted, checkpoint: Checkpoint) -> Circuits:
    """Of the keys, which must be for faces of the weights' size; else what the weights need."""
    if wanted.keys is None:
        normalisation = recommended_normalisation(checkpoint)
        return choose_engine(normalisation, checkpoint.input_size, wanted.views)
    key = read_header(wanted.keys / CLIENT_KEY, expect_kind=Kind.SECRET_KEY)
    header = read_header(wanted.keys / EVALUATION_KEY, expect_kind=Kind.EVALUATION_KEYS)
    require_match(header, key_id=key.key_id)
    engine = engine_for(key)
    pixels = engine.circuit.input_size
    if pixels != checkpoint.input_size:
        raise UsageError(
            f"{checkpoint.path}: a network for faces of {checkpoint.input_size} pixels; the keys "
            f"in {wanted.keys} were made for {pixels}"
        )
    return engine


def _kept(wanted: Wanted, keys: Path) -> FaceClient:
    return FaceClient.load(
        keys / CLIENT_KEY,
        threads=wanted.threads,
        passphrase=wanted.passphrase,
        warn=wanted.warn,
    )
