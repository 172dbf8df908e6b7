"""Both sides on one machine: a client here, a server in a process of its own.

The server's folder holds evaluation keys and ciphertexts; the secret key stays in this process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhe_core.formats.ciphertexts import Bundle, save_bundle
from fhe_core.secret.key import SecretKey
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import EVALUATION_KEY, write_evaluation_keys
from fhe_face.engine import Engine, key_bytes
from fhe_face.local.process import run_job
from fhe_face.progress import Stage, silent
from fhe_face.server.job import Job
from fhe_face.system import require_space

#: Ciphertexts of two faces, beside the keys.
CIPHERTEXT_BYTES = 200 << 20


def fresh_client(
    engine: Engine, folder: Path, threads: int, remedy: str, stage: Stage = silent
) -> FaceClient:
    """A client whose secret key is in memory only; the server's ``evaluation.key`` in a folder.

    remedy: what can be done where the disk is too small.

    Raises:
        FileError: the disk is too small, or the file cannot be written.
    """
    require_space(folder, key_bytes(engine.keys(), engine.parameters) + CIPHERTEXT_BYTES, remedy)
    key = SecretKey.generate(engine.parameters, threads)
    write_evaluation_keys(folder / EVALUATION_KEY, key, engine, stage)
    return FaceClient(key, engine)


@dataclass
class LocalServer:
    """Carries bundles to a server process and back, as files in a folder.

    evaluation_key, weights, folder: absolute; client: of the same keys, it only reads answers.
    The process is given these files alone. reports: what it measured, one for each request.
    """

    client: FaceClient
    evaluation_key: Path
    weights: Path
    folder: Path
    threads: int
    stage: Stage = silent
    reports: list[dict[str, Any]] = field(default_factory=list)
    ciphertext_bytes: int = 0

    def embed(self, bundle: Bundle, /) -> Bundle:
        """Encrypted faces to encrypted embeddings, in a new process.

        Raises:
            ServerError: the server reports an error, or ends without an answer.
            ContainerError: its answer is none to this request.
        """
        faces = self.folder / f"faces{len(self.reports)}.ct"
        answer = self.folder / f"embeddings{len(self.reports)}.ct"
        self.ciphertext_bytes += save_bundle(faces, bundle).total_bytes
        job = Job(
            evaluation_key=str(self.evaluation_key),
            weights=str(self.weights),
            threads=self.threads,
            embed=((str(faces), str(answer)),),
            match=(),
        )
        self.reports.append(run_job(job, self.stage))
        return self.client.read(answer, [bundle])
