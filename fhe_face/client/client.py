"""The client in one object: keys, encryption, decryption with its health check."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fhe_core.container import Kind, WrongKind, read_header
from fhe_core.formats.ciphertexts import Bundle, head_of, load_bundle
from fhe_core.secret.files import Passphrase, load_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.client.copies import agreed, doubled
from fhe_face.client.decryption import Embedding, Reader, Score
from fhe_face.client.devices import Register
from fhe_face.client.embedding import Embedded, Embedder, embed_faces
from fhe_face.client.encryption import Encryptor, Faces, listed
from fhe_face.client.expected import Expected
from fhe_face.client.headroom import room
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.client.keymaking import CLIENT_KEY, make_keys
from fhe_face.client.ledger import (
    DEFAULT_LIMIT,
    Ledger,
    MemoryLedger,
    Warn,
    beside,
    result_digest,
    warn_in_python,
)
from fhe_face.client.requests import Sent
from fhe_face.client.sharing import Decision
from fhe_face.client.verification import Verification, verify_photos
from fhe_face.engine import Engine, choose_engine, engine_for
from fhe_face.models.thresholds import Thresholds
from fhe_face.places import EMBEDDING, SCORE, Run
from fhe_face.progress import Stage, silent
from fhe_face.system import default_threads

Result = Embedding | Score | HealthReport


class FaceClient(Encryptor):
    """Holds the secret key. What it decrypts must not be shared as it is (docs/security.md)."""

    def __init__(
        self,
        key: SecretKey,
        engine: Engine,
        ledger: Ledger | None = None,
        devices: Register | None = None,
    ) -> None:
        """Use :meth:`create` for new keys, :meth:`load` for a key file.

        ledger: counts the answers of the key; default: in memory, for a key without a file.
        devices: says which of its devices were revoked; default: none.
        """
        self.key = key
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.devices = devices
        revoked = None if devices is None else devices.revoked
        self.expected = Expected(key, engine, revoked)
        super().__init__(key, engine, self.expected.requests, {})

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        *,
        engine: Engine | None = None,
        threads: int | None = None,
        passphrase: bytes | None = None,
        overwrite: bool = False,
        answer_limit: int = DEFAULT_LIMIT,
        stage: Stage = silent,
    ) -> FaceClient:
        """New keys in a folder: ``client.key`` stays here, ``evaluation.key`` goes to the server.

        engine: from `fhe_face.engine.choose_engine`; default: CryptoFaceNet4, one view, the
        default normalisation, for one face at a time. passphrase: encrypts ``client.key``.
        answer_limit: see :meth:`load`.

        Raises:
            FileError: the files exist, or cannot be written.
        """
        engine = engine or choose_engine()
        count = threads or default_threads()
        key = make_keys(
            folder,
            engine,
            threads=count,
            passphrase=passphrase,
            overwrite=overwrite,
            stage=stage,
        )
        path = Path(folder) / CLIENT_KEY
        ledger = beside(path, key.key_id, answer_limit)
        return cls(key, engine, ledger, Register.beside(path, key.key_id))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        passphrase: Passphrase = None,
        answer_limit: int = DEFAULT_LIMIT,
        warn: Warn = warn_in_python,
    ) -> FaceClient:
        """The client of a ``client.key``; passphrase: of a protected one, or what asks for it.

        answer_limit: so many scores, embeddings and refusals the key may give in its life, counted
        in ``client.ledger`` beside it; docs/security.md says what more would cost. warn: told when
        that is near, or the file is missing.

        Raises:
            LockedKey: the file is protected, and the passphrase is missing or wrong.
            ContainerError: the file is not a secret key, or is damaged.
        """
        header = read_header(path, expect_kind=Kind.SECRET_KEY)
        engine = engine_for(header)
        count = threads or default_threads()
        key = load_secret_key(path, threads=count, passphrase=passphrase)
        ledger = beside(path, key.key_id, answer_limit, warn)
        return cls(key, engine, ledger, Register.beside(path, key.key_id))

    def __repr__(self) -> str:
        packings = ", ".join(packing.value for packing in self.engine.packings)
        return f"<FaceClient of key {self.key_id[:8]}, for {packings}>"

    # --- decryption -------------------------------------------------------------------------------

    def read(self, path: str | os.PathLike[str], sent: Sequence[Sent] = ()) -> Bundle:
        """Read a result; one that this client would not decrypt is refused from its header.

        sent: the encrypted faces that it must be the answer to, or those of both sides of scores.

        Raises:
            ContainerError: it is no result of this key, of its plans, or of what was sent.
        """
        return load_bundle(path, admit=self.expected.admission(sent=sent))

    def decrypt(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> list[Result]:
        """The embeddings or the scores of a bundle, in the order in which faces were encrypted.

        A face whose result must not be used has a health report instead, which says why.
        sent: what the bundle must be the answer to, as for `read`.

        Raises:
            ContainerError: it is no result of this key, of its plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        runs = self.expected.require(head_of(bundle), sent=sent)
        self.ledger.spend(result_digest(bundle), sum(run.faces for run in runs))
        found: list[Result] = []
        for run in runs:
            reader = self._reader(run)
            items = [bundle.items[name] for name in self.engine.item_names(bundle.what, run)]
            rooms = [room(item, self.key.parameters) for item in items]
            slots = [self.key.decrypt(item) for item in items]
            if bundle.what == EMBEDDING:
                found += reader.embeddings(run, slots, rooms)
            else:
                found += reader.scores(run, slots, rooms)
        return found

    def _reader(self, run: Run) -> Reader:
        """What tells the meaning of the slots of a run's results."""
        metadata = self.engine.of(run.packing).plan.metadata
        lengths = int(metadata["embedding"]), int(metadata["period"])
        return Reader(self.circuit.applied, *lengths, self.engine.places)

    def embedding(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> Embedding:
        """The only embedding of a bundle.

        Raises:
            UnhealthyResultError: the network diverged; there is no embedding.
            WrongKind: it does not hold one embedding.
            ContainerError, AnswerLimitError: as `decrypt`.
        """
        found = self._only(bundle, EMBEDDING, sent)
        assert isinstance(found, Embedding)
        return found

    def score(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> Score:
        """The only score of a bundle; errors as `embedding`."""
        found = self._only(bundle, SCORE, sent)
        assert isinstance(found, Score)
        return found

    def _only(self, bundle: Bundle, what: str, sent: Sequence[Sent]) -> Embedding | Score:
        if bundle.what != what:
            raise WrongKind(f"expected an encrypted {what}, got an encrypted {bundle.what}")
        found = self.decrypt(bundle, sent)
        if len(found) != 1:
            raise WrongKind(f"expected one {what}, the bundle holds {len(found)} (decrypt)")
        if isinstance(found[0], HealthReport):
            raise UnhealthyResultError(found[0])
        return found[0]

    def decide(self, bundle: Bundle, threshold: float, sent: Sequence[Sent] = ()) -> bool:
        """Whether the cosine of a score reaches the threshold: what may leave the key's owner.

        Raises:
            SharingError: the threshold is not between -1 and 1.
            UnhealthyResultError: there is no score; its text holds numbers, which must not leave.
            ContainerError, AnswerLimitError: as `decrypt`.
        """
        decision = Decision(threshold)
        return decision.decide(self.score(bundle, sent))

    # --- both sides -------------------------------------------------------------------------------

    def embed(
        self,
        faces: Faces,
        server: Embedder,
        *,
        twice: bool = False,
        memory: int | None = None,
        contrast: float = 1.0,
    ) -> Embedded:
        """Encrypt, let a server compute, decrypt; a face that diverges costs no other its result.

        Faces that were refused are encrypted again with less contrast (`CONTRASTS`) and computed
        again, in at most three further rounds; each embedding says what contrast it has. The server
        sees that (docs/security.md), so it must be one that may know that some face diverged, such
        as one of your own. With one that says how many `rounds` there are, as `RemoteServer` does,
        there are always as many, all faces are in each, and they are computed alone.

        twice: encrypt and compute every face twice, for enrolment: copies that differ are refused,
        as noise decided the embedding (docs/health.md). memory: that the server has, in bytes.
        contrast: of the first round, above 0 and at most 1. 0.9 keeps whole batches from being
        computed again, where one face in 50 or so diverges.

        Raises:
            ImageError, CircuitError, PlanningError: as `encrypt`; or the server's rounds are none.
            ContainerError: an answer cannot be used.
        """
        chosen = listed(faces)
        if not twice:
            return embed_faces(self, chosen, server, memory, contrast=contrast)
        found = embed_faces(self, doubled(chosen), server, memory, copies=2, contrast=contrast)
        return replace(found, results=agreed(found.results, self.circuit.applied))

    def verify(
        self,
        a: Any,
        b: Any,
        server: Embedder,
        thresholds: Thresholds,
        *,
        twice: bool = False,
    ) -> Verification:
        """Whether two photos show one person, in one request of two faces.

        a, b: photos or aligned faces as `prepare` takes them, or what it returned. thresholds: of
        the server's weights, from `fhe_face.load_thresholds`. twice: as for `embed`.

        Raises:
            ImageError: a photo cannot be used, or has no face.
            UnhealthyResultError: a face must not be used; the text names its photo.
            CircuitError: photos that were prepared in different ways.
            ContainerError, AnswerLimitError: as `decrypt`.
        """
        return verify_photos(self, a, b, server, thresholds, twice)
