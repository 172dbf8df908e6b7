"""What the tests of the command line share: small files made with real keys, and results."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.formats.ciphertexts import Bundle, save_bundle
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.parameters import presets
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.files import save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit, normalisation_of
from fhe_face.client.expected import Expected
from fhe_face.client.ledger import beside
from fhe_face.engine import Engine, compile_engine
from fhe_face.models.checkpoint import load
from fhe_face.models.thresholds import Thresholds
from fhe_face.network import bundled_weights, require_thresholds
from fhe_face.places import Packing, describe, numbered
from fhe_face.shapes import RESULT_FACTS, items_of
from fhe_face.tokens import sides_of

LENGTH = 256
SQUARED_NORM = 400.0
CIRCUIT = Circuit("safe", normalisation_of(None))
#: As the first, of keys whose client normalises.
RAW_CIRCUIT = Circuit("raw", normalisation_of(None), client_normalises=True)
#: Of the batches, the last of which has an unhealthy second face.
FACES = 3


@dataclass(frozen=True)
class Result:
    """What a command did: exit status, both streams, and the files it was allowed to touch."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1, f"not one line: {self.out!r}"
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer

    def refused(self, status: int = 1) -> str:
        """The one line of an error, after checking that it is one."""
        lines = [x for x in self.err.splitlines() if not x.startswith(("warning: ", "faces:"))]
        lines = [x for x in lines if not x.startswith("network:")]
        assert self.status == status, (self.status, self.err)
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")


Run = Callable[..., Result]


def bundled_thresholds() -> Thresholds:
    """What commands judge by where no weights are named."""
    return require_thresholds(load(bundled_weights()))


@dataclass(frozen=True)
class Kit:
    """One client's files, at full size but without the gigabytes."""

    folder: Path
    key: SecretKey

    def __getattr__(self, name: str) -> Path:
        """`kit.score_ct` is the file score.ct."""
        return self.folder / name.replace("_", ".")


def make_kit(folder: Path) -> Kit:
    """client.key, an evaluation.key with one key only, and one ciphertext of each sort."""
    parameters = presets.load("safe")
    key = SecretKey.generate(parameters)
    facts = compile_engine(CIRCUIT).facts()
    save_secret_key(folder / "client.key", key, facts)
    keys = [KeySpecification(KeyName(0, 2), (1,))]
    save_evaluation_keys(folder / "evaluation.key", key, keys, facts)
    draw = np.random.default_rng(1)
    direction = draw.normal(size=LENGTH)
    direction /= np.linalg.norm(direction)
    norm = np.sqrt(SQUARED_NORM) * CIRCUIT.normalisation.evaluate(SQUARED_NORM)
    slots = np.zeros(parameters.slots)
    slots[:LENGTH] = norm * direction
    make = _Maker(folder, key, compile_engine(CIRCUIT, [Packing.ALONE]))
    make.bundle("embedding", "embedding", [slots, SQUARED_NORM])
    make.bundle("score", "score", [0.5 * norm**2, SQUARED_NORM, SQUARED_NORM])
    make.bundle("bad", "score", [0.3, SQUARED_NORM, 5000.0])
    make.bundle("noise", "embedding", [slots, slots * 1e5])
    make.bundle("image", "image", [slots] * 2)
    beside(folder / "client.key", key.key_id).create()
    _add_batches(folder, key, norm * direction)
    return Kit(folder, key)


def make_raw_kit(folder: Path) -> Kit:
    """As `make_kit`, of a client that normalises: keys, an embedding, one that diverged,
    one that wrapped around."""
    engine = compile_engine(RAW_CIRCUIT)
    key = SecretKey.generate(engine.parameters)
    save_secret_key(folder / "client.key", key, engine.facts())
    save_evaluation_keys(folder / "evaluation.key", key, engine.keys()[-1:], engine.facts())
    beside(folder / "client.key", key.key_id).create()
    draw = np.random.default_rng(1)
    direction = draw.normal(size=LENGTH)
    direction *= np.sqrt(SQUARED_NORM) / np.linalg.norm(direction)
    slots = np.resize(direction, engine.parameters.slots)
    make = _Maker(folder, key, engine)
    make.bundle("embedding", "embedding", [slots])
    make.bundle("bad", "embedding", [slots * 3.6])
    make.bundle("wrapped", "embedding", [slots * 2.0**29])
    return Kit(folder, key)


def _add_batches(folder: Path, key: SecretKey, embedding: Any) -> None:
    """many.key, many-evaluation.key, and a batch of each sort, as 64 faces lie in their slots."""
    facts = compile_engine(CIRCUIT, [Packing.BATCH]).facts()
    save_secret_key(folder / "many.key", key, facts)
    save_evaluation_keys(
        folder / "manyevaluation.key", key, [KeySpecification(KeyName(0, 2), (1,))], facts
    )
    beside(folder / "many.key", key.key_id).create()
    make = _Maker(folder, key, compile_engine(CIRCUIT, [Packing.BATCH]), FACES)
    slots, norms, scores = (np.zeros(key.parameters.slots) for _ in range(3))
    for face in range(FACES):
        slots[1024 * face : 1024 * face + LENGTH] = embedding
        norms[1024 * face : 1024 * face + LENGTH] = SQUARED_NORM
        scores[1024 * face] = (face + 1) / 10
    bad = norms.copy()
    bad[1024 : 1024 + LENGTH] = 5000.0
    make.bundle("embeddings", "embedding", [slots, norms])
    make.bundle("badones", "embedding", [slots, bad])
    make.bundle("noones", "embedding", [slots, 5000.0])
    make.bundle("scores", "score", [scores, norms, norms])


@dataclass(frozen=True)
class _Maker:
    """Results as a server gives them for this key's circuit, of requests that it made."""

    folder: Path
    key: SecretKey
    engine: Engine
    faces: int = 1

    def bundle(self, name: str, what: str, values: Sequence[Any]) -> None:
        engine = self.engine
        (packing,) = engine.packings
        (run,) = numbered([(packing, self.faces)])
        plan = engine.of(packing).plan
        facts: dict[str, Any] = {name: plan.metadata[name] for name in RESULT_FACTS}
        if what == "image":
            facts = {"plans": {packing.value: plan.digest}}
        expected = Expected(self.key, engine)
        asked = expected.asked(run, facts)
        facts["requests"] = [expected.requests.issue(asked) for _ in range(sides_of(what))]
        facts["runs"] = describe([run])
        parameters = self.key.parameters
        own = Evaluator(parameters, EvaluationKeys(parameters, self.key.key_id, {}), 1)
        encrypted = {
            item.name: own.drop_to(
                self.key.encrypt(np.broadcast_to(value, parameters.slots), item.scale)[0],
                item.level,
            )
            for item, value in zip(items_of(engine, what, run), values, strict=True)
        }
        bundle = Bundle(what, parameters, self.key.key_id, encrypted, facts, {})
        save_bundle(self.folder / f"{name}.ct", bundle)
