"""Stage ``server_encrypted_compute SIZE``: encrypted faces to encrypted scores."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.official.stages.layout import Instance, write_json
from benchmarks.official.stages.program import Progress, for_instance
from benchmarks.official.stages.schedule import Matched, Matcher, matched
from fhe_core.container import ContainerError, Kind, read_header
from fhe_core.container.header import encode_header
from fhe_core.files import FileError, shown
from fhe_core.formats.ciphertexts import Bundle, known_facts, load_bundle, save_bundle
from fhe_face.models.checkpoint import sha256
from fhe_face.progress import Stage
from fhe_face.server.server import FaceServer

#: In the facts of a score: what it was computed from, and the seconds, exactly.
_INPUTS: Final = "benchmark inputs"
_SECONDS: Final = "benchmark seconds"


class ServerLoader(Protocol):
    """A server from evaluation keys and weights."""

    def __call__(self, evaluation_key: Path, weights: Path, *, stage: Stage) -> Matcher: ...


def compute(
    instance: Instance,
    progress: Progress,
    load: ServerLoader = FaceServer.load,
    read: Callable[[Path, str], Bundle] = load_bundle,
) -> None:
    """Compute all scores; those of an earlier run with the same inputs are kept.

    Raises:
        FileError: ciphertexts or weights are missing, or a file cannot be written.
        ContainerError: a ciphertext or the evaluation keys cannot be used.
        CheckpointError, WeightsError: the weights cannot be used.
    """
    started = time.perf_counter()
    count = instance.uploads.require("client_encode_encrypt_input")
    weights = instance.model.weights
    if not weights.is_file():
        raise FileError(f"{shown(weights)}: missing; run server_preprocess_model first")
    keys = read_header(instance.evaluation_key, expect_kind=Kind.EVALUATION_KEYS)
    common = hashlib.sha256(encode_header(keys) + bytes.fromhex(sha256(weights))).digest()
    inputs = [_stamp(instance, number, common) for number in range(count)]
    instance.begin(instance.downloads)
    seconds = {n: _kept(instance.downloads.file(n), inputs[n]) for n in range(count)}
    pending = [n for n in range(count) if seconds[n] is None]
    kept, loading = count - len(pending), 0.0
    if pending:
        server = load(instance.evaluation_key, weights, stage=progress.stage)
        loading = time.perf_counter() - started
        progress = Progress(progress.name)  # forecasts leave the start out

        def faces(number: int) -> tuple[Bundle, Bundle]:
            files = [instance.uploads.file(number, face) for face in range(2)]
            return read(files[0], "image"), read(files[1], "image")

        for done, result in enumerate(matched(server, pending, faces), kept + 1):
            _save(instance.downloads.file(result.number), result, inputs[result.number])
            seconds[result.number] = result.seconds
            progress.pairs(done, count, kept)
    instance.downloads.drop_from(count)
    computed = sum(value for value in seconds.values() if value is not None)
    report = _report(computed, loading, time.perf_counter() - started, kept)
    write_json(instance.server_report, report)
    instance.downloads.complete(count)


def _stamp(instance: Instance, number: int, common: bytes) -> str:
    """Digest of all that a score depends on; headers hold the digests of what follows them."""
    digest = hashlib.sha256(common)
    for face in range(2):
        header = read_header(instance.uploads.file(number, face), expect_kind=Kind.CIPHERTEXT)
        digest.update(hashlib.sha256(encode_header(header)).digest())
    return digest.hexdigest()


def _kept(file: Path, inputs: str) -> float | None:
    """The seconds that a kept score took; None where there is none for these inputs."""
    try:
        header = read_header(file, expect_kind=Kind.CIPHERTEXT)
        facts = known_facts(header)
        return float.fromhex(str(facts[_SECONDS])) if facts.get(_INPUTS) == inputs else None
    except (ContainerError, KeyError, ValueError, OverflowError):
        return None


def _save(file: Path, result: Matched, inputs: str) -> None:
    facts = {**result.score.facts, _INPUTS: inputs, _SECONDS: result.seconds.hex()}
    save_bundle(file, replace(result.score, facts=facts))


def _report(computed: float, loading: float, total: float, kept: int) -> dict[str, Any]:
    """Seconds, as the benchmark's harness shows them."""
    return {
        "Encrypted computation": computed,
        "Total": total,
        "additional_measurements": {"Loading of model and evaluation keys": loading},
        # Their seconds are in the first entry, but not in the second.
        "resumed": {"pairs_of_earlier_runs": kept},
    }


def main() -> None:
    for_instance("server_encrypted_compute", compute)
