"""The engine of a person's machine: fresh keys, or a folder of keys, and a server process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from fhe_core.container import Kind, read_header, require_match
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.client.ledger import Warn
from fhe_face.engine import Engine as Circuits
from fhe_face.engine import choose_engine, engine_for, key_bytes
from fhe_face.failures import UsageError
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.local.sides import fresh_client
from fhe_face.local.standing import StandingServer
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.thresholds import Thresholds
from fhe_face.network import caution, recommended_normalisation, thresholds_of, weights_file
from fhe_face.photos.preparation import PreparedFace
from fhe_face.progress import Stage
from fhe_face.studio.engine import Computed, Facts, Result, Tell, Travels, security_bits
from fhe_face.studio.progress import Side
from fhe_face.system import temporary_folder

_REMEDY = "; set TMPDIR to a folder elsewhere"


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


class LocalEngine:
    """Both sides on one machine; the server is a process that is given no secret."""

    def __init__(self, wanted: Wanted) -> None:
        """Reads weights, and the header of the keys: errors are told before a page is opened.

        Raises:
            CheckpointError, WeightsError, ContainerError: files that cannot be used, or together.
        """
        self._wanted = wanted
        self._checkpoint = load(weights_file(wanted.weights))
        self.circuits = _circuits(wanted, self._checkpoint)
        self.clear = LocalEmbedder(
            self._checkpoint,
            self.circuits.circuit.normalisation,
            self.circuits.circuit.views,
        )
        self._stack = ExitStack()
        self._sides: tuple[FaceClient, StandingServer] | None = None
        # Asks for a passphrase while there is only the terminal.
        self._kept = None if wanted.keys is None else _kept(wanted, wanted.keys)
        parameters = self.circuits.parameters
        self.facts = Facts(
            str(wanted.weights),
            parameters.name,
            parameters.ring_dimension,
            parameters.log2_qp,
            security_bits(parameters),
            key_bytes(self.circuits.keys(), parameters),
            caution(self._checkpoint),
        )

    @property
    def model(self) -> str:
        """As `Engine.model`."""
        return self._checkpoint.tensors_sha256

    @property
    def size(self) -> int:
        """As `Engine.size`."""
        return self._checkpoint.input_size

    @property
    def views(self) -> int:
        """As `Engine.views`."""
        return self.circuits.circuit.views

    @property
    def thresholds(self) -> Thresholds | None:
        """Of the weights."""
        return thresholds_of(self._checkpoint)

    def prepare(self, tell: Tell) -> None:
        """As `Engine.prepare`.

        Raises:
            FileError: the disk is too small. ServerError: the server's process cannot start.
            LockedKey, ContainerError: the keys cannot be used.
        """
        _, server = self._both(tell)
        server.start(_for(Side.SERVER, tell))

    def encrypted(self, faces: Sequence[PreparedFace], tell: Tell, travels: Travels) -> Computed:
        """As `Engine.encrypted`; also raises what `FaceClient.embed` does."""
        client, server = self._both(tell)
        server.start(_for(Side.SERVER, tell))
        server.stage = _for(Side.SERVER, tell)
        before = server.sent, server.received, server.seconds
        tell(Side.CLIENT, "encrypting", 0, 0)
        found = client.embed(list(faces), _Watched(server, tell, travels))
        return Computed(
            found.results,
            server.sent - before[0],
            server.received - before[1],
            server.seconds - before[2],
            len(found.rounds),
        )

    def in_the_clear(self, faces: Sequence[PreparedFace]) -> list[Result]:
        """As `Engine.in_the_clear`."""
        return self.clear.embed(faces)

    def gallery(self, folder: Path) -> Gallery:
        """As `Engine.gallery`, for these weights."""
        return Gallery.create(folder, self._wanted.weights, names=True, flip=self.views > 1)

    def close(self) -> None:
        """As `Engine.close`; fresh keys are removed."""
        if self._sides is not None:
            self._sides[1].close()
            self._sides = None
        self._stack.close()

    def _both(self, tell: Tell) -> tuple[FaceClient, StandingServer]:
        if self._sides is None:
            wanted = self._wanted
            folder = self._stack.enter_context(temporary_folder("fhe-face-studio-")).resolve()
            keys = folder if wanted.keys is None else wanted.keys.resolve()
            client = self._kept
            if client is None:
                tell(Side.CLIENT, "making the secret key", 0, 0)
                stage = _for(Side.CLIENT, tell)
                client = fresh_client(self.circuits, folder, wanted.threads, _REMEDY, stage)
            weights = self._checkpoint.path.resolve()
            server = StandingServer(client, keys / EVALUATION_KEY, weights, folder, wanted.threads)
            self._sides = client, server
        return self._sides


@dataclass(frozen=True)
class _Watched:
    """Shows what goes to a server, and when its answer is decrypted."""

    server: StandingServer
    tell: Tell
    travels: Travels

    def embed(self, bundle: Bundle, /) -> Bundle:
        self.tell(Side.CLIENT, "encrypting", 1, 1)
        self.travels(bundle)
        self.tell(Side.SERVER, "reading ciphertexts", 0, 0)
        answer = self.server.embed(bundle)
        self.tell(Side.CLIENT, "decrypting", 0, 0)
        return answer


def _for(side: Side, tell: Tell) -> Stage:
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
