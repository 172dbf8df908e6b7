"""Targets: coefficients, samples, manifests, jobs, answers and kept outcomes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from fhe_core.normalisation import NormalisationError
from fhe_face.circuit import as_compiled
from fhe_face.coeffs.normalisation import CoefficientError, FittedNormalisation
from fhe_face.coeffs.samples import read_sample
from fhe_face.local.evaluation import Outcome
from fhe_face.local.process import ServerError, relay
from fhe_face.models.faces import Preparation, PreparationError
from fhe_face.models.manifest import WeightsManifest, WeightsManifestError
from fhe_face.models.synthetic import untrained
from fhe_face.server.job import Job, JobError
from fuzz.mutators import either, mutate_bytes, mutate_json
from fuzz.target import Scratch, Target


def coefficients_target(folder: Path) -> Target:
    scratch = Scratch(folder, "coefficients.json")
    content = FittedNormalisation.load().to_json()
    measured = {
        "file": "a", "sha256": "0" * 64, "values": 9, "inside": 8, "minimum": 1.0,
        "maximum": 2.0, "worst_relative_error": 0.1, "mean_relative_error": 0.01,
    }  # fmt: skip
    old = {key: content[key] for key in ("interval", "coefficients")}
    both = [content, {**content, "sample": measured}, {**content, "newton_steps": 2}, old]
    both[2].pop("worst_relative_error")
    seeds = [json.dumps(one).encode() for one in both]

    def parse(data: bytes) -> None:
        found = FittedNormalisation.load(scratch.holding(data))
        as_compiled(found).product()

    return Target("coefficients", parse, (CoefficientError, NormalisationError), seeds, mutate_json)


def sample_target(folder: Path) -> Target:
    scratch = Scratch(folder, "sample")
    array = io.BytesIO()
    np.save(array, np.array([300.0, 900.0, np.nan]))
    seeds = [b"300\n# text\n 9e2\n", b"[300, 900.5]", array.getvalue()]
    fitted = FittedNormalisation.load()

    def parse(data: bytes) -> None:
        found = read_sample(scratch.holding(data))
        found.measure(fitted).to_json()

    mutate = either(mutate_bytes, mutate_json)
    return Target("sample", parse, (CoefficientError,), seeds, mutate)


def manifest_target(_folder: Path) -> Target:
    state = untrained(0)
    made = WeightsManifest.of(state, training={"data": ["a", {"b": 1}], "seed": 3})
    other = untrained(1)

    def parse(data: bytes) -> None:
        found = WeightsManifest.from_json(data.decode("utf-8", "surrogateescape"))
        assert WeightsManifest.from_json(found.to_json()) == found
        found.require(state if found == made else other)

    seeds = [made.to_json().encode()]
    return Target("manifest", parse, (WeightsManifestError,), seeds, mutate_json)


def job_target(_folder: Path) -> Target:
    job = Job("e", None, 2, (("a", "b"),), (("b", "d", "s"),))

    def parse(data: bytes) -> None:
        Job.from_json(data.decode("utf-8", "replace"))

    return Target("job", parse, (JobError,), [job.to_json().encode()], mutate_json)


def answers_target(_folder: Path) -> Target:
    """What the client hears from a server process."""
    lines = [
        {"stage": "reading evaluation keys", "done": 1, "total": 2},
        {"report": {"embed_seconds": [1.5]}},
        {"error": "no such file"},
    ]
    seeds = [json.dumps(line).encode() for line in lines]

    def parse(data: bytes) -> None:
        relay(data.decode("utf-8", "replace").splitlines(), lambda *_: None)

    return Target("answers", parse, (ServerError,), seeds, mutate_json)


def preparation_target(_folder: Path) -> Target:
    made = [Preparation.aligned(64, "ab" * 32), Preparation.letterboxed(128)]
    seeds = [json.dumps(one.describe()).encode() for one in made]

    def parse(data: bytes) -> None:
        Preparation.from_description(_json(data, PreparationError))

    return Target("preparation", parse, (PreparationError,), seeds, mutate_json)


def outcome_target(_folder: Path) -> Target:
    """Embeddings kept by `evaluate --keep`; its reader takes these errors for damage."""
    made = [
        Outcome(np.array([0.5, -1.0]), 400.0, "", 2.5),
        Outcome(None, None, "the network diverged", 2.5),
    ]
    seeds = [json.dumps(one.to_json()).encode() for one in made]

    def parse(data: bytes) -> None:
        Outcome.from_json(_json(data, ValueError))

    return Target("outcome", parse, (ValueError, OverflowError), seeds, mutate_json)


def _json(data: bytes, error: type[Exception]) -> object:
    try:
        content: object = json.loads(data)
    except (ValueError, RecursionError):
        raise error("not JSON") from None
    return content
