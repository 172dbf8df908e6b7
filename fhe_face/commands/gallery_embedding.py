"""What embeds photos for a gallery: a server process that cannot decrypt, or weights here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fhe_core.container import Kind, read_header
from fhe_face.client import passphrases
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.commands.both_sides import KeyOptions, standing_sides
from fhe_face.commands.gallery_opening import Opening
from fhe_face.commands.gallery_options import ENCRYPTED
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.engine import engine_for
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.embedders import Embedder, EncryptedEmbedder, LocalEmbedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.identification import Match
from fhe_face.models.checkpoint import Checkpoint, CheckpointError, load
from fhe_face.network import caution, weights_file
from fhe_face.output import Output
from fhe_face.photos.preparation import PreparedFace
from fhe_face.places import Packing
from fhe_face.progress import Stage
from fhe_face.system import default_threads

LOCAL = "local"
#: Faces of one request, whose results are kept together: the process stays, so few are enough.
TOGETHER = 4
#: From so many faces on, waiting is worth a remark.
_MANY = 10
_SLOW = (
    "faces are computed encrypted, which takes seconds each; --embed local computes them in the "
    "clear on this machine, in milliseconds"
)
Result = Embedding | HealthReport


@dataclass(frozen=True)
class EmbedOptions:
    """The options --embed, --keys, --weights and --twice; CommandError for some together.

    weights: None for those that the gallery was made for. twice: see `EncryptedEmbedder`.
    """

    how: str
    keys: Path | None
    weights: Path | None
    twice: bool = False

    def __post_init__(self) -> None:
        one_of("--embed", self.how)
        if self.how == LOCAL and self.keys is not None:
            raise CommandError(
                "--keys is for encrypted embedding: leave it out, or --embed local", USAGE
            )
        if self.how == LOCAL and self.twice:
            raise CommandError(
                "--twice is for encrypted embedding, whose noise differs each time: leave it out, "
                "or embed encrypted (for a gallery at a server: --keys)",
                USAGE,
            )

    def checkpoint(self, gallery: Gallery, output: Output) -> Checkpoint:
        """The weights, after checking that the gallery was made with them.

        Raises:
            CommandError: the gallery does not know its weights, and none were given.
            OtherModel: they are others. CheckpointError, WeightsError: they cannot be used.
        """
        kept = gallery.settings.weights
        if self.weights is None and kept is None:
            raise CommandError(
                f"{gallery.name}: does not know the file of its network: give --weights", USAGE
            )
        try:
            checkpoint = load(weights_file(self.weights or kept))
        except CheckpointError as error:
            if self.weights is not None:
                raise
            hint = "it is the gallery's network: --weights says where it is now"
            raise CommandError(f"{error}; {hint}") from None
        gallery.facts.require_model(checkpoint.tensors_sha256, str(checkpoint.path))
        say_caution(checkpoint, output)
        return checkpoint

    @contextmanager
    def started(
        self, gallery: Gallery, opening: Opening, output: Output, stage: Stage
    ) -> Iterator[Embedder]:
        """What embeds for the gallery; keys are made and read when the first face comes."""
        checkpoint = self.checkpoint(gallery, output)
        views = 2 if gallery.facts.preparation.flip else 1
        with self.embedding(checkpoint, views, opening, output, stage) as embedder:
            yield embedder

    @contextmanager
    def embedding(
        self, checkpoint: Checkpoint, views: int, opening: Opening, output: Output, stage: Stage
    ) -> Iterator[Embedder]:
        """What embeds with these weights; views: 2 averages with the mirror image."""
        if self.how == LOCAL:
            yield LocalEmbedder(checkpoint, views=views)
            return
        with ExitStack() as stack:
            keys = self._keys(views, opening, output)
            together = _together(keys.folder)
            yield _Later(checkpoint, views, keys, output, stage, stack, together, self.twice)

    def _keys(self, views: int, opening: Opening, output: Output) -> KeyOptions:
        threads = opening.threads or default_threads()
        if self.keys is None:
            return KeyOptions(None, None, views > 1, None, threads)
        secret = self.keys / CLIENT_KEY
        hold_secrets(output, secret)
        ask = passphrases.opener(opening.passphrase_file, secret)
        return KeyOptions(self.keys, ask, False, None, threads)


@dataclass
class _Later:
    """An encrypted embedder that starts both sides when it is first needed."""

    checkpoint: Checkpoint
    views: int
    keys: KeyOptions
    output: Output = field(repr=False)
    stage: Stage = field(repr=False)
    stack: ExitStack = field(repr=False)
    together: int
    twice: bool
    _inner: EncryptedEmbedder | None = field(default=None, repr=False)
    _asked: int = 0

    @property
    def model(self) -> str:
        return self.checkpoint.tensors_sha256

    @property
    def size(self) -> int:
        return self.checkpoint.input_size

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Result]:
        """See `EncryptedEmbedder.embed`.

        Raises:
            CommandError: the keys that were given are for other views.
        """
        if not faces:
            return []
        before, self._asked = self._asked, self._asked + len(faces)
        if before < _MANY <= self._asked:
            self.output.note(_SLOW)
        if self._inner is None:
            sides = standing_sides(self.keys, self.checkpoint, self.output, self.stage)
            client, server = self.stack.enter_context(sides)
            self._inner = EncryptedEmbedder(client, server, self.model, twice=self.twice)
            if self._inner.views != self.views:
                made = "with" if self._inner.views > 1 else "without"
                raise CommandError(
                    f"{self.keys.folder}: keys {made} --flip, and the gallery's faces are embedded "
                    "the other way"
                )
        return self._inner.embed(faces)


def _together(keys: Path | None) -> int:
    """How many faces are best embedded at once with these keys, from their header alone."""
    if keys is None:
        return TOGETHER
    engine = engine_for(read_header(keys / EVALUATION_KEY, expect_kind=Kind.EVALUATION_KEYS))
    return engine.capacity if Packing.BATCH in engine.packings else TOGETHER


def one_of(option: str, given: str) -> None:
    """CommandError where an option is neither encrypted nor local."""
    if given not in (ENCRYPTED, LOCAL):
        raise CommandError(f"{option} is '{given}'; it must be encrypted or local", USAGE)


def match_of(given: str) -> Match:
    """The option --match; CommandError where it is neither encrypted nor local."""
    one_of("--match", given)
    return "local" if given == LOCAL else "encrypted"


def say_caution(checkpoint: Checkpoint, output: Output) -> None:
    """What has to stand beside everything that the bundled weights say."""
    demonstration = caution(checkpoint)
    if demonstration is not None:
        output.warn(demonstration)
