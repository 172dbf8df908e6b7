"""One design at one ring dimension: what it costs, how exact it is, what a flood leaves."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.threshold import leakage
from benchmarks.threshold.circuit import Circuit, Design, compile_threshold
from benchmarks.threshold.leakage import Impostors
from benchmarks.threshold.rig import Rig
from benchmarks.threshold.search import Float, turned
from fhe_core.analysis import precision
from fhe_core.analysis.cost import Machine, step_costs, totals
from fhe_core.ciphertext import Ciphertext
from fhe_core.formats import residues
from fhe_core.matching.parameters import gallery_parameters
from fhe_core.parameters import Parameters
from fhe_core.runtime import cleartext
from fhe_face.bench.gallery_rig import GalleryRig

#: What costs are given for.
TEMPLATES = 10_000
_SEED = 15
#: Of a design, for the plot.
_POINTS = 600
_T = TypeVar("_T")


def measured(design: Design, log_ring_dimension: int, features: int) -> dict[str, Any]:
    """Keys, one full block, one search of it, and signs of chosen scores, really encrypted."""
    told = time.perf_counter()

    def stage(text: str) -> None:
        seconds = time.perf_counter() - told
        print(f"{design.name}: {text} ({seconds:.0f} s)", file=sys.stderr)

    stage("keys")
    rig, keygen = _timed(lambda: Rig.prepare(design, log_ring_dimension, features))
    parameters, slots = rig.parameters, rig.parameters.slots
    stage("sealing a block")
    templates, probe = unit_vectors(slots, features), unit_vectors(1, features, _SEED + 1)[0]
    block, seal = _timed(lambda: [rig.seal(row) for row in rig.layout.diagonals(templates)])
    stage("searching")
    sealed = rig.seal(rig.layout.probe(probe, slots))
    rotations, turning = _timed(lambda: turned(rig.evaluator, rig.layout, sealed))
    found, scoring = _timed(lambda: rig.searched(rotations, block))
    _, signing = _timed(lambda: rig.signs(found))
    stage("signs of chosen scores")
    error = rig.opened(found) - templates @ probe
    seconds = {"probe": turning, "scores": scoring, "signs": signing}
    return {
        "design": describe(design, parameters),
        "templates": slots,
        "keygen_seconds": keygen,
        "seal_seconds": seal,
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "signs_seconds_predicted": predicted_seconds(rig.circuit, parameters),
        "seconds_10k": (scoring + signing) * TEMPLATES / slots,
        **sizes(rig, block[0]),
        "score_error": float(np.max(np.abs(error))),
        "score_error_deviation": float(np.std(error)),
        **exactness(rig),
        "flooded": flooded(rig),
    }


def describe(design: Design, parameters: Parameters) -> dict[str, Any]:
    """A design's facts, JSON-ready."""
    facts = parameters.describe()
    wanted = ("ring_dimension", "slots", "limbs", "log2_q", "log2_qp", "log2_qp_bound")
    return {
        "name": design.name,
        "threshold": design.threshold,
        "band": design.band,
        "degrees": list(design.degrees),
        "levels": sum(stage.levels for stage in design.stages),
        "rescales": len(design.rescales),
        "result_bits": design.result_bits,
        "result_modulus_bits": sum(design.base),
        **{name: facts[name] for name in wanted},
    }


def sizes(rig: Rig, template: Ciphertext) -> dict[str, Any]:
    """Bytes of keys, probes, templates and results. On disk and on the wire one half of what a
    client encrypts is a seed."""
    parameters, slots, features = rig.parameters, rig.parameters.slots, rig.layout.features

    def half(rows: Sequence[int]) -> int:
        return residues.layout(parameters, rows, 1, parameters.ring_dimension).bytes

    fresh = half(parameters.levels[-1].rows)
    return {
        "key_bytes": sum(key.shape(parameters)[0] * half(key.rows(parameters)) for key in rig.keys),
        "key_memory_bytes": rig.evaluator.keys.memory_bytes,
        "probe_bytes": fresh,
        "template_disk_bytes": features * fresh / slots,
        "template_memory_bytes": features * template.residues.nbytes / slots,
        "result_bytes_per_template": 2 * half(parameters.levels[0].rows) / slots,
    }


def predicted_seconds(circuit: Circuit, parameters: Parameters) -> float:
    """Of the signs of one ciphertext, on one thread, by the cost model (another processor's)."""
    costs = step_costs(circuit.plan, parameters, Machine(threads=1))
    return totals(costs).estimated_seconds


def predicted_noise(design: Design, parameters: Parameters, circuit: Circuit) -> dict[str, float]:
    """A cleartext run with the errors that the precision model says every step adds."""
    scores = one_side(design, parameters.slots)
    rows = precision.predict(circuit.plan, circuit.tables, parameters, [scores])
    exact: Any = scores.astype(np.longdouble)  # doubles would show before the noise does
    (wanted,) = cleartext.run(circuit.plan, circuit.tables, [exact])
    (noisy,) = cleartext.run(
        circuit.plan, circuit.tables, [exact], noise=precision.noise_of(rows), seed=_SEED
    )
    error = np.asarray(noisy - wanted, dtype=np.float64)
    return {"deviation": float(np.std(error)), "largest": float(np.max(np.abs(error)))}


def predicted(design: Design, log_ring_dimension: int) -> dict[str, Any]:
    """A design without encryption: what the composition leaves, and what the noise would hide."""
    parameters = design.parameters(log_ring_dimension)
    circuit = compile_threshold(design, parameters)
    noise = predicted_noise(design, parameters, circuit)
    deviation, impostors = noise["deviation"], Impostors.of_quantiles()
    return {
        "design": describe(design, parameters),
        "products": sum(step.op in ("square", "multiply") for step in circuit.plan.steps),
        "noise_predicted": noise,
        "signs_seconds_predicted": predicted_seconds(circuit, parameters),
        "side": leakage.of_side(design, deviation, impostors),
        "flood": leakage.of_flood(design, deviation, noise["largest"], parameters.slots),
        "band": leakage.of_band(design, deviation, impostors),
        "band_flooded": leakage.of_band(design, leakage.FLOOD, impostors),
        "domain": leakage.domain(design),
    }


def exactness(rig: Rig) -> dict[str, Any]:
    """Remainder and noise of scores on both sides of the band, beside what is predicted."""
    design, parts = rig.design, []
    below = 2 * design.threshold - one_side(design, rig.parameters.slots, down=True)
    for scores, sign in ((one_side(design, rig.parameters.slots), 1.0), (below, -1.0)):
        distance = sign * rig.opened(rig.signs(rig.given(scores)), sign)
        remainder = leakage.remainder(design, scores)
        parts.append((scores, distance, distance - remainder))
    scores, distance, noise = (np.concatenate(part) for part in zip(*parts, strict=True))
    # A shift that all have is the rounding of the polynomial's coefficients: it tells nothing.
    noise = noise - np.mean(noise)
    pieces = np.array_split(noise[np.argsort(scores)], 16)
    deviations = [float(np.std(piece)) for piece in pieces]
    largest, deviation = float(np.max(np.abs(noise))), float(np.std(noise))
    impostors, slots = Impostors.of_quantiles(), rig.parameters.slots
    return {
        "remainder": float(np.max(np.abs(distance))),
        "noise": deviation,
        "noise_largest": largest,
        "noise_by_score": [min(deviations), max(deviations)],
        "noise_information_bits": leakage.information_of_noise(deviations),
        "noise_predicted": predicted_noise(design, rig.parameters, rig.circuit),
        "side": leakage.of_side(design, deviation, impostors),
        "flood": leakage.of_flood(design, deviation, largest, slots),
        "band": leakage.of_band(design, deviation, impostors),
        "band_flooded": leakage.of_band(design, leakage.FLOOD, impostors),
        "points": _points(scores, distance),
    }


def one_side(design: Design, count: int, down: bool = False) -> Float:
    """Scores above the threshold: evenly spread, half of them near the band. down: so far that
    their mirror images reach the lowest cosine."""
    last = design.threshold + design.reach if down else 1.0
    near = np.linspace(design.threshold + design.band, design.threshold + 3 * design.band, count)
    far = np.linspace(design.threshold + 3 * design.band, last, count)
    return np.concatenate([near[::2], far[::2]])


def _points(scores: Float, distance: Float) -> list[list[float]]:
    """Some of them, for the plot."""
    every = max(1, scores.size // _POINTS)
    order = np.argsort(scores)[::every]
    return [[float(scores[i]), float(distance[i])] for i in order]


def flooded(rig: Rig) -> dict[str, Any]:
    """Signs that are read through a flood of Gaussian noise, as the server would add it."""
    design, slots = rig.design, rig.parameters.slots
    scores = np.concatenate(
        [one_side(design, slots)[::2], 2 * design.threshold - one_side(design, slots)[1::2]]
    )
    result = rig.signs(rig.given(scores))
    deviation = leakage.FLOOD * result.scale / math.sqrt(2 * slots)
    noise = np.random.default_rng().normal(0.0, deviation, slots)
    opened = rig.opened(rig.evaluator.add_plain(result, np.rint(noise).astype(np.int64)))
    sign = np.sign(scores - design.threshold)
    return {
        "deviation": float(np.std(opened - sign)),
        "coefficient_bits": math.log2(deviation),
        "wrong": int(np.count_nonzero(np.sign(opened) != sign)),
        "of": slots,
    }


def outside(design: Design, log_ring_dimension: int, score: float) -> dict[str, Any]:
    """A block in which one score lies outside the interval of cosines: how many others are read
    wrong."""
    rig = Rig.prepare(design, log_ring_dimension, 4)
    scores = one_side(design, rig.parameters.slots)
    scores[scores.size // 2] = score
    opened = np.delete(rig.opened(rig.signs(rig.given(scores))), scores.size // 2)
    return {
        "score": score,
        "wrong": int(np.count_nonzero(~(opened > 0))),
        "of": opened.size,
        "largest": float(np.max(np.abs(opened))),
    }


def unit_vectors(count: int, features: int, seed: int = _SEED) -> Float:
    """Random directions [count, features]."""
    vectors: Float = np.random.default_rng(seed).normal(size=(count, features))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def gallery(folder: Path) -> dict[str, Any]:
    """What a search of 10,000 costs where scores are released: the project's sealed gallery."""
    parameters = gallery_parameters()
    rig = GalleryRig.prepare(parameters, folder, 1, lambda *_: None)
    _, probe = rig.probe()
    rig.matcher.expand(probe)  # the first one pays for memory
    constants, expanding = _timed(lambda: rig.matcher.expand(probe))
    blocks = rig.load(TEMPLATES, lambda *_: None)
    _, answering = _timed(lambda: rig.matcher.answer(constants, blocks))
    return {
        "probe_seconds": expanding,
        "seconds_10k": answering * TEMPLATES / (len(blocks) * parameters.templates),
        "template_memory_bytes": blocks[0][1].memory.bytes / parameters.templates,
        "key_bytes": rig.key_bytes,
    }


def _timed(job: Callable[[], _T]) -> tuple[_T, float]:
    """Of one thread: processor time, as others use the machine."""
    started = time.process_time()
    result = job()
    return result, time.process_time() - started
