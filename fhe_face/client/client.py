"""The client in one object: keys, encryption, decryption with its health check."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fhe_core.container import Kind, read_header
from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_core.secret.files import Passphrase, load_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, CircuitError, circuit_of
from fhe_face.client.decryption import Client, Embedding, Score
from fhe_face.client.health import HealthReport
from fhe_face.client.images import validate_unit
from fhe_face.client.keymaking import CLIENT_KEY, make_keys
from fhe_face.client.ledger import DEFAULT_LIMIT, Ledger, MemoryLedger, Warn, beside, warn_in_python
from fhe_face.client.preparation import PreparedFace, given
from fhe_face.client.requests import Sent
from fhe_face.client.sharing import Decision
from fhe_face.engine import Engine, choose_engine, compile_engine
from fhe_face.facts import differences
from fhe_face.progress import Stage, silent
from fhe_face.system import default_threads

#: A face as a file, as pixels, or with what is known about its preparation.
Face = str | os.PathLike[str] | NDArray[np.uint8] | NDArray[np.float64] | PreparedFace


class FaceClient:
    """Holds the secret key. What it decrypts must not be shared as it is (docs/security.md)."""

    def __init__(
        self,
        key: SecretKey,
        circuit: Circuit,
        engine: Engine | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Use :meth:`create` for new keys, :meth:`load` for a key file.

        ledger: counts the answers of the key; default: in memory, for a key without a file.
        """
        self._key = key
        self._engine = engine
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.circuit = circuit

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
        default normalisation. passphrase: encrypts ``client.key``. answer_limit: see :meth:`load`.

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
        ledger = beside(Path(folder) / CLIENT_KEY, key.key_id, answer_limit)
        return cls(key, engine.circuit, engine, ledger)

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
        circuit = circuit_of(read_header(path, expect_kind=Kind.SECRET_KEY))
        count = threads or default_threads()
        key = load_secret_key(path, threads=count, passphrase=passphrase)
        return cls(key, circuit, ledger=beside(path, key.key_id, answer_limit, warn))

    @property
    def key_id(self) -> str:
        """Public name of the key; every file that belongs to it carries it."""
        return self._key.key_id

    @cached_property
    def _client(self) -> Client:
        """Compiled when first needed: results are compared with the plans."""
        engine = self.engine
        return Client(self._key, engine.served.plan, engine.match_plan, self.ledger)

    def read(self, path: str | os.PathLike[str], sent: Sequence[Sent] = ()) -> Bundle:
        """Read a result; one that this client would not decrypt is refused from its header.

        sent: the encrypted face that it must be the answer to, or both of a score, in order.

        Raises:
            ContainerError: it is no result of this key, of its plans, or of what was sent.
        """
        return load_bundle(path, admit=self._client.expected.admission(sent=sent))

    @cached_property
    def engine(self) -> Engine:
        """The plan that images are packed for; compiled when first needed."""
        return self._engine or compile_engine(self.circuit)

    def encrypt(self, image: Face) -> Bundle:
        """Encrypt an aligned face: a file, uint8 (S, S, 3) RGB, or floats (3, S, S) in [-1, 1].

        Photos are made into faces by `fhe_face.prepare`; its result is taken as well.
        S is the circuit's input size. Where the circuit has two views, the mirror image is
        encrypted as well.

        Raises:
            ImageError: no such image, another shape or type, not finite, or out of range.
            CircuitError: the keys are for batches.
        """
        if self.circuit.batch:
            raise CircuitError("the keys are for batches: encrypt many faces at once")
        face = self._given(image)
        unit = validate_unit(face.unit, self.circuit.input_size)
        views = np.stack([unit, unit[..., ::-1]][: self.circuit.views])
        preparation = face.preparation.with_flip(self.circuit.views > 1)
        return self._client.encrypt_image(views, self.engine.compiled, preparation.describe())

    @property
    def capacity(self) -> int:
        """Faces that are encrypted at once, at most."""
        return 1 if self.engine.batch is None else self.engine.batch.capacity

    def encrypt_many(self, images: Sequence[Face]) -> Bundle:
        """Encrypt 1 to ``capacity`` aligned faces at once, each as for `encrypt`.

        They must all have been prepared in the same way. Names of files are not kept: they would
        tell the server who is in the pictures.

        Raises:
            ImageError: see `encrypt`.
            CircuitError: the keys are not for batches, the faces are too many, or they were
                prepared in different ways.
        """
        batch = self.engine.batch
        if batch is None:
            raise CircuitError("the keys are for one face at a time, not for batches")
        if not 1 <= len(images) <= batch.capacity:
            raise CircuitError(f"{len(images)} faces; a batch holds 1 to {batch.capacity}")
        faces = [self._given(image) for image in images]
        described = [face.preparation.with_flip(False).describe() for face in faces]
        for number, own in enumerate(described):
            if own != described[0]:
                raise CircuitError(
                    f"faces 1 and {number + 1} were prepared differently "
                    f"({differences(described[0], own)}): they cannot be in one batch"
                )
        units = np.stack([validate_unit(face.unit, self.circuit.input_size) for face in faces])
        return self._client.encrypt_images(units, batch, described[0])

    def _given(self, image: Face) -> PreparedFace:
        return image if isinstance(image, PreparedFace) else given(image, self.circuit.input_size)

    def decrypt_embeddings(
        self, bundle: Bundle, sent: Sequence[Sent] = ()
    ) -> list[Embedding | HealthReport]:
        """The embeddings of a batch, in the order in which its faces were encrypted.

        A face whose result must not be used has a health report instead, which says why.

        Raises:
            ContainerError: it is no result of this key, of its plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        return self._client.decrypt_embeddings(bundle, sent)

    def decrypt_scores(
        self, bundle: Bundle, sent: Sequence[Sent] = ()
    ) -> list[Score | HealthReport]:
        """The scores of two batches, face by face; see `decrypt_embeddings`.

        Raises:
            ContainerError: it is no result of this key, of its plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        return self._client.decrypt_scores(bundle, sent)

    def decrypt_embedding(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> Embedding:
        """The embedding [256] and its health report.

        Raises:
            UnhealthyResultError: the network diverged; there is no embedding.
            ContainerError: it is no result of this key, of its plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        return self._client.decrypt_embedding(bundle, sent)

    def decide(self, bundle: Bundle, threshold: float, sent: Sequence[Sent] = ()) -> bool:
        """Whether the cosine of a score reaches the threshold: what may leave the key's owner.

        Raises:
            SharingError: the threshold is not between -1 and 1.
            UnhealthyResultError: there is no score; its text holds numbers, which must not leave.
            ContainerError: it is no result of this key, of its plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        decision = Decision(threshold)
        return decision.decide(self.decrypt_score(bundle, sent))

    def decrypt_score(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> Score:
        """The inner product of two embeddings, their cosine, and the health report.

        Raises:
            UnhealthyResultError: the network diverged on one of the faces; there is no score.
            ContainerError: it is no result of this key, of its plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        return self._client.decrypt_score(bundle, sent)
