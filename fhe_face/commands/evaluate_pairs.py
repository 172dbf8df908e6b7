"""``fhe-face evaluate FILE.bin``: InsightFace's verification sets (LFW, CFP, AgeDB...).

Such a file names nobody, it has pairs; so there is no gallery, and no rank. It is a pickle by
tradition, and is read without unpickling anything (fhe_face.models.training.pairs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fhe_face.commands.evaluate_request import Request
from fhe_face.commands.evaluate_study_table import interval
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint
from fhe_face.models.evaluation.bootstrap import eer_interval
from fhe_face.models.evaluation.embedding import embed_crops, unit
from fhe_face.models.evaluation.folds import FOLDS, best_threshold
from fhe_face.models.evaluation.scores import Array, Labels, at_threshold, roc
from fhe_face.models.evaluation.thresholds import CosineThresholds
from fhe_face.models.training.pairs import decoded, read_pairs
from fhe_face.network import caution, fused
from fhe_face.output import Output, facts

SUFFIX = ".bin"


def run(
    request: Request, checkpoint: Checkpoint, interval_of: tuple[float, float], output: Output
) -> None:
    """Measure the pairs; interval_of: the squared norms that are healthy.

    Raises:
        CommandError: options that need people, or too few pairs.
        TrainingError: no such file; the text names it.
    """
    _require_none(request)
    pairs = read_pairs(request.folder)
    warning = caution(checkpoint)
    if warning is not None:
        output.warn(warning)
    network = fused(checkpoint)
    places, images = pairs.distinct()
    with output.stages() as stage:
        crops = []
        for number, image in enumerate(images):
            stage("reading images", number, len(images))
            crops.append(decoded(image, number, network.input_size))
        raw = embed_crops(
            network,
            np.stack(crops),
            flip=request.flip,
            progress=lambda done, total: stage("embedding", done, total),
        )
    healthy = raw.healthy(interval_of)
    with np.errstate(all="ignore"):
        units = unit(raw.raw)
    one, two = places[::2], places[1::2]
    usable = healthy[one] & healthy[two]
    same = np.array(pairs.same, dtype=bool)
    scores = np.einsum("pe,pe->p", units[one[usable]], units[two[usable]])
    genuine = same[usable]
    if not genuine.any() or genuine.all():
        raise CommandError(
            f"{request.folder}: pairs of both kinds are needed, and the health check left "
            f"{int(genuine.sum())} of one person and {int((~genuine).sum())} of different people"
        )
    people = _groups(len(images), one[same], two[same])
    data = {
        "file": str(request.folder),
        "weights": str(checkpoint.path),
        "tensors_sha256": checkpoint.tensors_sha256,
        "flip": request.flip,
        "images": len(images),
        "pairs": len(same),
        "evaluated": int(usable.sum()),
        "refused": int(np.count_nonzero(~healthy)),
        **_measured(scores, genuine, people[one[usable]], people[two[usable]], request.threshold),
    }
    output.answer(data, lambda console: _show(console, data))


def _require_none(request: Request) -> None:
    given = {
        "--gallery": request.gallery,
        "--templates": request.templates,
        "--probe-size": request.probe_sizes,
        "--people": request.people or None,
        "--worst": request.worst,
        "--second": request.second,
        "--plot": request.plot,
        "--limit": request.limit,
        "--set-thresholds": request.set_thresholds,
        "--cache": request.cache,
    }
    named = [option for option, value in given.items() if value is not None]
    if request.mode != "cleartext":
        named.append(f"--mode {request.mode}")
    if named:
        raise CommandError(
            f"{', '.join(named)}: not for an InsightFace .bin, which has pairs and no people; "
            "give a folder with a folder for each person",
            USAGE,
        )


def _measured(
    scores: Array, genuine: NDArray[np.bool_], first: Labels, second: Labels, at: float | None
) -> dict[str, Any]:
    same, different = scores[genuine], scores[~genuine]
    curve = roc(same, different)
    ends = eer_interval(
        same,
        different,
        first[genuine],
        np.stack([first[~genuine], second[~genuine]], axis=1),
    )
    found: dict[str, Any] = {
        "same_pairs": len(same),
        "different_pairs": len(different),
        "same_mean": float(same.mean()),
        "different_mean": float(different.mean()),
        "eer": curve.eer,
        "eer_interval": ends.to_json(),
        "tar_at_far_1pct": curve.tar_at(0.01),
        "tar_at_far_01pct": curve.tar_at(0.001),
        "thresholds": CosineThresholds.of(same, different).to_json(),
        "ten_fold": _ten_fold(scores, genuine),
    }
    if at is not None:
        found["at_threshold"] = at_threshold(same, different, at)
    return found


def _ten_fold(scores: Array, genuine: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Folds of neighbouring pairs, as these files are meant; None with fewer than ten pairs."""
    if len(scores) < FOLDS:
        return None
    folds = np.array_split(np.arange(len(scores)), FOLDS)
    accuracies = []
    for fold in folds:
        others = np.setdiff1d(np.arange(len(scores)), fold)
        same, different = scores[others][genuine[others]], scores[others][~genuine[others]]
        if not len(same) or not len(different):
            return None
        threshold = best_threshold(same, different)
        accuracies.append(float(np.mean((scores[fold] >= threshold) == genuine[fold])))
    error = float(np.std(accuracies, ddof=1) / np.sqrt(FOLDS))
    return {"accuracy": float(np.mean(accuracies)), "standard_error": error}


def _groups(count: int, first: Sequence[int] | Labels, second: Sequence[int] | Labels) -> Labels:
    """Numbers (N,) of people: images joined by pairs of one person."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    return np.asarray(connected_components(joined, directed=False)[1], dtype=np.int64)


def _show(console: Console, data: dict[str, Any]) -> None:
    def share(value: float | None) -> str:
        return "too few pairs" if value is None else f"{value:.4f}"

    folds, at = data["ten_fold"], data.get("at_threshold")
    rows: list[tuple[str, object]] = [
        ("pairs of one person, of different people",
         f"{data['same_pairs']}, {data['different_pairs']}"),
        ("mean cosine", f"{data['same_mean']:.3f}, {data['different_mean']:.3f}"),
        ("equal error rate", share(data["eer"])),
        ("  95 % of draws of people", interval(data["eer_interval"])),
        ("TAR at FAR 1 %, 0.1 %",
         f"{share(data['tar_at_far_1pct'])}, {share(data['tar_at_far_01pct'])}"),
        ("ten-fold accuracy", "too few pairs" if folds is None else
         f"{folds['accuracy']:.4f} ± {folds['standard_error']:.4f}"),
        ("refused by the health check", data["refused"]),
    ]  # fmt: skip
    if at is not None:
        told = f"TAR {at['tar']:.4f}, FAR {at['far']:.4f}"
        rows.append((f"at cosine {at['threshold']:g}", told))
    console.print(facts(f"{data['evaluated']} of {data['pairs']} pairs", rows))
