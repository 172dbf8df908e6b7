"""The whole pipeline with fresh keys: a client here, a server in another process.

The server's folder holds the evaluation keys and ciphertexts; the secret key stays in this
process (and, when the folder is kept, in a file of the client's folder).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.formats.ciphertexts import save_bundle
from fhe_core.formats.preparation import ENTRY
from fhe_core.normalisation import Normalisation
from fhe_core.secret.files import save_secret_key
from fhe_face.client.client import FaceClient
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.client.verification import told
from fhe_face.engine import Engine, choose_engine
from fhe_face.facts import require_same_preparation
from fhe_face.local.process import run_job
from fhe_face.local.sides import fresh_client
from fhe_face.models import reference
from fhe_face.models.checkpoint import load
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import network_of, recommended_normalisation, thresholds_of
from fhe_face.photos.preparation import PreparedFace
from fhe_face.progress import Stage
from fhe_face.server.job import Job
from fhe_face.system import peak_memory_bytes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Demonstration:
    """Two faces (of a size that the network decides), the network, and where files go.

    normalisation: without it, the one that the weights are meant for. check: is called with the
    engine before keys are made. names: of the faces, for reasons.
    """

    faces: Callable[[int], Sequence[PreparedFace]]
    weights: Path
    normalisation: Normalisation | None
    views: int
    folder: Path
    keep: bool
    threads: int
    check: Callable[[Engine], object] = lambda _engine: None
    names: Sequence[str] = ("face 1", "face 2")

    def run(self, stage: Stage) -> dict[str, Any]:
        """Do everything; the result is JSON-ready. Unhealthy faces give no score.

        Raises:
            FileError, CheckpointError, ServerError: what can go wrong with files and the server.
        """
        stage("reading weights", 0, 0)
        checkpoint = load(self.weights)
        network = network_of(checkpoint)
        stage("reading weights", 1, 1)
        stage("compiling the plan", 0, 0)
        normalisation = self.normalisation or recommended_normalisation(checkpoint)
        engine = choose_engine(normalisation, network.input_size, self.views)
        stage("compiling the plan", 1, 1)
        self.check(engine)
        faces = self.faces(network.input_size)
        require_same_preparation(*({ENTRY: face.preparation.describe()} for face in faces))
        server_folder = self.folder.resolve() / "server"
        server_folder.mkdir()
        data: dict[str, Any] = {
            "weights": str(self.weights),
            "prepared": [face.facts() for face in faces],
        }
        client, made = self._keys(engine, server_folder, stage)
        data |= made
        data |= self._encrypt(client, faces, server_folder, stage)
        job = self._job(server_folder, len(faces))
        started = time.perf_counter()
        report = run_job(job, stage)
        data |= _server_facts(report, time.perf_counter() - started)
        data |= self._decrypt(client, network, engine, job, faces)
        thresholds = thresholds_of(checkpoint)
        if "cosine" in data and thresholds is not None:
            data |= told(data["cosine"], thresholds)
        data |= _parameter_facts(engine)
        data["client_peak_rss_bytes"] = peak_memory_bytes()
        return data

    def _keys(
        self, engine: Engine, server_folder: Path, stage: Stage
    ) -> tuple[FaceClient, dict[str, Any]]:
        started = time.perf_counter()
        remedy = "; set TMPDIR, or --keep a folder elsewhere"
        client = fresh_client(engine, server_folder, self.threads, remedy, stage)
        elapsed = time.perf_counter() - started
        if self.keep:
            client_folder = self.folder / "client"
            client_folder.mkdir(mode=0o700)
            save_secret_key(client_folder / CLIENT_KEY, client.key, engine.facts())
        facts = {
            "keygen_seconds": elapsed,
            "evaluation_key_bytes": (server_folder / EVALUATION_KEY).stat().st_size,
            "evaluation_keys": len(engine.keys()),
        }
        return client, facts

    def _encrypt(
        self, client: FaceClient, faces: Sequence[PreparedFace], folder: Path, stage: Stage
    ) -> dict[str, Any]:
        elapsed, sizes = [], []
        for number, face in enumerate(faces):
            stage("encrypting", number, len(faces))
            started = time.perf_counter()
            header = save_bundle(folder / f"face{number}.ct", client.encrypt(face))
            elapsed.append(time.perf_counter() - started)
            sizes.append(header.total_bytes)
        stage("encrypting", len(faces), len(faces))
        return {"encrypt_seconds": elapsed, "ciphertext_bytes": max(sizes)}

    def _job(self, folder: Path, faces: int) -> Job:
        count = range(faces)
        embeddings = [str(folder / f"embedding{i}.ct") for i in count]
        return Job(
            evaluation_key=str(folder / EVALUATION_KEY),
            weights=str(self.weights.resolve()),
            threads=self.threads,
            embed=tuple((str(folder / f"face{i}.ct"), embeddings[i]) for i in count),
            match=((embeddings[0], embeddings[1], str(folder / "score.ct")),),
        )

    def _decrypt(
        self,
        client: FaceClient,
        network: FusedNetwork,
        engine: Engine,
        job: Job,
        faces: Sequence[PreparedFace],
    ) -> dict[str, Any]:
        """Decrypted results beside cleartext ones, or the reason why there are none."""
        units = np.stack([face.unit for face in faces])
        raw = reference.embed(network, units)
        with np.errstate(all="ignore"):  # a diverging face
            if engine.circuit.views > 1:
                raw = (raw + reference.embed(network, units[..., ::-1])) / 2
            clear_norms = reference.squared_norm(raw)
            clear = raw * engine.circuit.normalisation.evaluate(clear_norms)[:, None]
        low, high = engine.circuit.normalisation.interval
        started = time.perf_counter()
        embeddings, norms, reasons = [], [], []
        for number, (source, name) in enumerate(job.embed):
            try:
                result = client.embedding(client.read(name), [source])
                embeddings.append(result.values)
                report = result.health
            except UnhealthyResultError as error:
                report = error.report
                reasons.append(f"{self.names[number]}: {report.message}")
            norms.append(report.squared_norms[0])
            if report.healthy and not low <= clear_norms[number] <= high:
                reasons.append(
                    f"{self.names[number]}: diverges in the clear, yet decrypts as healthy"
                )
        facts: dict[str, Any] = {
            "squared_norms": norms,
            "squared_norms_cleartext": clear_norms.tolist(),
            "interval": [low, high],
            "healthy": not reasons,
            "decrypt_seconds": time.perf_counter() - started,
        }
        if reasons:
            return facts | {"reason": "; ".join(reasons)}
        score = client.score(client.read(job.match[0][2]), [source for source, _ in job.embed])
        facts["decrypt_seconds"] = time.perf_counter() - started
        return facts | {
            "score": score.value,
            "score_cleartext": float(clear[0] @ clear[1]),
            "cosine": score.cosine,
            "cosine_cleartext": _cosine(clear[0], clear[1]),
            "cosine_to_cleartext": [_cosine(a, b) for a, b in zip(embeddings, clear, strict=True)],
            "relative_l2_error": [
                float(np.linalg.norm(a - b) / np.linalg.norm(b))
                for a, b in zip(embeddings, clear, strict=True)
            ],
        }


def _cosine(a: Array, b: Array) -> float:
    return float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1.0, 1.0))


def _server_facts(report: dict[str, Any], total: float) -> dict[str, Any]:
    return {
        "server_seconds": total,
        "server_load_seconds": report["load_seconds"],
        "embed_seconds": report["embed_seconds"],
        "match_seconds": report["match_seconds"][0],
        "server_peak_rss_bytes": report["peak_rss_bytes"],
        "packed_weight_bytes": report["packed_weight_bytes"],
        "evaluation_key_memory_bytes": report["evaluation_key_memory_bytes"],
        "threads": report["threads"],
    }


def _parameter_facts(engine: Engine) -> dict[str, Any]:
    described = engine.parameters.describe()
    names = ("ring_dimension", "limbs", "log2_q", "log2_qp", "log2_qp_bound", "margin_bits")
    own = {name: described[name] for name in (*names, "half")}
    return {"parameters": described["name"], **own}
