"""What bounding did to a network: the same measurements before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.evaluation import EvaluationError, evaluate
from fhe_face.models.evaluation.embedding import unit
from fhe_face.models.reference import squared_norm
from fhe_face.models.training.augmentation import augment, centre, pictures
from fhe_face.models.training.bounds import measure
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.keeping import embed
from fhe_face.models.training.loop import Record, seed_of
from fhe_face.models.training.people import People, embedded_raw
from fhe_face.models.training.plot import draw
from fhe_face.models.training.shards import Canvases

#: Generated faces from the end, which no step sees.
_FACES: Final = 300
_TYPICAL: Final = 16

Standing = dict[str, Any]


def standing(
    network: CryptoFaceNet,
    faces: Canvases,
    interval: tuple[float, float],
    people: People | None,
    *,
    stress: int,
    hunts: int,
    hunt_steps: int,
) -> Standing:
    """Squared norms, stress and hunted images, and recognition of `people` where there are any.

    interval: of the normalisation; stress, hunts: pictures (hunts: for each aim); hunt_steps: of
    the gradient. As JSON values; TrainingError: the people do not suffice for an evaluation.
    """
    network.eval()
    count = min(_FACES, len(faces))
    rows = np.arange(len(faces) - count, len(faces))
    canvas = pictures(torch.from_numpy(faces.take(rows)))
    plain, changed = centre(canvas), augment(canvas, seed_of("standing"))
    typical = plain[:_TYPICAL].double().numpy()
    found = measure(network, typical, stress, hunts, hunt_steps, interval)
    return {
        "faces": _norms(embed(network, plain).double().numpy(), interval),
        "changed_faces": _norms(embed(network, changed).double().numpy(), interval),
        **{name: asdict(values) for name, values in found.items()},
        "quality": None if people is None else _quality(network, people, interval),
    }


def _norms(embeddings: NDArray[np.float64], interval: tuple[float, float]) -> dict[str, Any]:
    """Squared norms of embeddings (N, 256): ends, quartiles, and how many are refused."""
    norms = squared_norm(embeddings)
    low, high = interval
    fine = np.nan_to_num(norms, nan=np.inf)
    with np.errstate(invalid="ignore"):  # between two infinities
        quartiles = np.quantile(fine, (0, 0.25, 0.5, 0.75, 1))
    return {
        "images": len(norms),
        "refused": int(np.count_nonzero(~((norms >= low) & (norms <= high)))),
        "squared_norms": dict(
            zip(("least", "quarter", "median", "three_quarters", "largest"),
                quartiles.tolist(), strict=True)
        ),
    }  # fmt: skip


def _quality(
    network: CryptoFaceNet, people: People, interval: tuple[float, float]
) -> dict[str, Any]:
    """As `fhe-face evaluate` measures it; refused faces are left out and counted."""
    raw = embedded_raw(network, people.crops)
    norms = squared_norm(raw)
    healthy = (norms >= interval[0]) & (norms <= interval[1])
    if not healthy.any():
        return {"refused": len(norms), "evaluated": 0}
    try:
        report = evaluate(unit(raw[healthy]), people.labels[healthy])
    except EvaluationError as error:
        raise TrainingError(f"the photos to measure on: {error}") from None
    return {
        "people": report.people,
        "evaluated": report.images,
        "refused": int(np.count_nonzero(~healthy)),
        "eer": report.curve.eer,
        "tar_at_far_1pct": report.curve.tar_at(0.01),
        "rank1": report.identification.rank1,
    }


def rows(before: Standing, after: Standing) -> list[tuple[str, str, str]]:
    """A line for every measurement: its name, before, after."""
    told = [
        (_NAMES.get(name, name), _told(before[name]), _told(after[name]))
        for name in before
        if name not in ("quality", "typical")
    ]
    if before["quality"] is None:
        return told
    one, two = before["quality"], after["quality"]
    for name, words in _QUALITY.items():
        told.append((words, _number(one.get(name)), _number(two.get(name))))
    return told


_NAMES: Final = {
    "faces": "generated faces",
    "changed_faces": "changed generated faces",
    "stress": "stress images",
    "hunted: activations": "hunted for activations",
    "hunted: largest norm": "hunted for large norms",
    "hunted: smallest norm": "hunted for small norms",
}
_QUALITY: Final = {
    "eer": "photos: equal error rate",
    "rank1": "photos: rank-1",
    "refused": "photos: refused",
    "evaluated": "photos: measured",
}


def _told(found: Mapping[str, Any]) -> str:
    if "squared_norms" in found:
        norms = found["squared_norms"]
        return (
            f"{found['refused']} of {found['images']} refused, norms {_size(norms['least'])} to "
            f"{_size(norms['largest'])}, median {_size(norms['median'])}"
        )
    return (
        f"{found['outside']} of {found['images']} refused, {found['diverged']} without a finite "
        f"result, largest value {_size(found['largest_value'])}"
    )


def _size(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.3g}"


def _number(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def draw_curves(records: Sequence[Record], before: Record, path: Path) -> None:
    """Losses, what was kept, divergence and activations over the steps of all stages.

    before: of `Keep.check` for the given network, drawn at step 0. TrainingError as `plot.draw`.
    """
    draw([_drawn(r, r["done"]) for r in [before | {"done": 0}, *records]], path)


def _drawn(record: Record, step: int) -> Record:
    shares: Record = {
        name: record[name] / record["stress_images"]
        for name in ("stress_refused", "stress_not_finite")
        if name in record
    }
    return {**record, **shares, "step": step}
