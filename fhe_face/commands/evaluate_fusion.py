"""A second network for ``fhe-face evaluate``: scores of both, fused and apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhe_face.commands.evaluate_study import Rows, Study
from fhe_face.failures import CommandError
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.evaluation.bootstrap import eer_interval
from fhe_face.models.evaluation.embedding import embed_crops, unit
from fhe_face.models.evaluation.fusion import (
    Disagreements,
    Named,
    Voice,
    disagreement,
    fused,
    fused_lookup,
)
from fhe_face.models.evaluation.lookup import Method
from fhe_face.models.evaluation.report import EvaluationError
from fhe_face.models.evaluation.scores import Array, roc
from fhe_face.models.evaluation.thresholds import CosineThresholds
from fhe_face.models.layers import FusedNetwork
from fhe_face.network import caution, coefficients_of, thresholds_of, weights_file
from fhe_face.network import fused as network_of
from fhe_face.output import Output

#: Pairs that are listed.
_LISTED = 12


@dataclass(frozen=True, eq=False)
class Opinion:
    """One network's embeddings (M, F) of the healthy of the faces, and which these are (N,)."""

    checkpoint: Checkpoint
    embeddings: Array
    healthy: Rows

    def cosines(self) -> Array:
        """(N, N), NaN where a face was refused."""
        found = np.full((len(self.healthy),) * 2, np.nan)
        units = unit(self.embeddings)
        found[np.ix_(self.healthy, self.healthy)] = units @ units.T
        return found

    def threshold(self, same: Array, different: Array) -> tuple[float, str]:
        """The middle of the weights' own thresholds, else that for equal errors of these faces."""
        known = thresholds_of(self.checkpoint)
        if known is not None:
            return (known.same_from + known.different_below) / 2, "of the weights"
        return CosineThresholds.of(same, different).eer.cosine, "for equal errors on these faces"


@dataclass(frozen=True)
class Second:
    """The second network, read before time is spent."""

    checkpoint: Checkpoint
    network: FusedNetwork

    @classmethod
    def read(cls, weights: Path, first: Checkpoint) -> Second:
        """CommandError: faces of another size. CheckpointError, WeightsError: no such network."""
        checkpoint = load(weights_file(weights, first.input_size))
        if checkpoint.input_size != first.input_size:
            raise CommandError(
                f"--second is for faces of {checkpoint.input_size} pixels, the first network for "
                f"{first.input_size}: both must see the same crops"
            )
        return cls(checkpoint, network_of(checkpoint))

    @property
    def interval(self) -> tuple[float, float]:
        """Of squared norms that are healthy, by the weights' own polynomial."""
        return coefficients_of(self.checkpoint).interval

    def fusion(self, study: Study, first: Opinion, output: Output) -> dict[str, Any]:
        """Both networks and their fusion; raises as `measured`."""
        warning = caution(self.checkpoint)
        if warning is not None:
            output.warn(f"--second: {warning}")
        with output.stages() as stage:
            raw = embed_crops(
                self.network,
                study.faces.crops,
                flip=study.request.flip,
                progress=lambda done, total: stage("embedding, second network", done, total),
            )
        healthy = raw.healthy(self.interval)
        return measured(study, (first, Opinion(self.checkpoint, raw.raw[healthy], healthy)))


def measured(study: Study, opinions: tuple[Opinion, Opinion]) -> dict[str, Any]:
    """Both networks, and the fusion, on all pairs; and on what is enrolled, by each method.

    Raises:
        EvaluationError: too few faces are left.
    """
    labels = study.faces.labels
    first, second = np.triu_indices(len(labels), 1)
    same = labels[first] == labels[second]
    voices, facts = [], []
    for opinion, weight in zip(opinions, study.request.shares, strict=True):
        scores = opinion.cosines()[first, second]
        said = np.isfinite(scores)
        if not (said & same).any() or not (said & ~same).any():
            raise EvaluationError(f"{opinion.checkpoint.path}: refused too many of the faces")
        own, others = scores[said & same], scores[said & ~same]
        threshold, source = opinion.threshold(own, others)
        voices.append(Voice(scores, threshold, weight))
        facts.append(
            {
                "weights": str(opinion.checkpoint.path),
                "tensors_sha256": opinion.checkpoint.tensors_sha256,
                "share": weight,
                "threshold": threshold,
                "threshold_from": source,
                "refused": int(np.count_nonzero(~opinion.healthy)),
                "eer": roc(own, others).eer,
            }
        )
    together = fused(voices)
    said = np.isfinite(together)
    own, others = said & same, said & ~same
    pair = np.stack([labels[first], labels[second]], axis=1)
    apart = np.flatnonzero(disagreement(voices))
    photos = study.faces.photos
    interval = eer_interval(together[own], together[others], pair[own][:, 0], pair[others])
    return {
        "networks": facts,
        "eer": roc(together[own], together[others]).eer,
        "eer_interval": interval.to_json(),
        "one_network_only": int(
            np.count_nonzero(said & ~np.isfinite(np.stack([v.scores for v in voices])).all(axis=0))
        ),
        "lookup": {method: looked_up(study, opinions, method) for method in study.request.methods},
        "disagreements": {
            **Disagreements.counted(voices, same).to_json(),
            "examples": [
                {
                    "images": [str(photos[first[k]]), str(photos[second[k]])],
                    "cosines": [float(voice.scores[k]) for voice in voices],
                    "one_person": bool(same[k]),
                }
                for k in apart[np.argsort(-_contrast(voices)[apart], kind="stable")][:_LISTED]
            ],
        },
    }


def looked_up(study: Study, opinions: tuple[Opinion, Opinion], method: Method) -> dict[str, Any]:
    """Probes against what is enrolled, by each network and by both together.

    Raises:
        EvaluationError: too few faces are left.
    """
    labels, probing = study.faces.labels, ~study.enrolled
    entries = labels[study.enrolled] if method == "single" else np.unique(labels[study.enrolled])
    voices, alone = [], []
    for opinion, weight in zip(opinions, study.request.shares, strict=True):
        found = study.lookups(opinion.embeddings, opinion.healthy)[method]
        threshold = CosineThresholds.of(found.same, found.different).eer.cosine
        scores = np.full((int(probing.sum()), len(entries)), np.nan)
        known = (
            opinion.healthy[study.enrolled]
            if method == "single"
            else np.isin(entries, found.entries)
        )
        scores[np.ix_(opinion.healthy[probing], known)] = found.scores
        voices.append(Voice(scores, threshold, weight))
        alone.append({"eer": found.curve.eer, "rank1": found.rank(1)})
    together = fused_lookup(voices, labels[probing], entries)
    named = Named.by(voices, entries)
    truth = labels[probing][named.rows]
    apart = np.flatnonzero(named.apart)
    photos = [str(photo) for photo, probe in zip(study.faces.photos, probing, strict=True) if probe]
    names = study.faces.names
    return {
        **together.to_json((study.request.top,)),
        "networks": alone,
        "disagreements": {
            "probes": len(apart),
            "of": len(named.rows),
            "right": [int(np.count_nonzero((own == truth)[apart])) for own in named.people],
            "examples": [
                {
                    "image": photos[named.rows[k]],
                    "named": [names[own[k]] for own in named.people],
                    "person": names[truth[k]],
                }
                for k in apart[:_LISTED]
            ],
        },
    }


def _contrast(voices: list[Voice]) -> Array:
    margins = np.stack([voice.margins for voice in voices])
    return np.asarray(margins.max(axis=0) - margins.min(axis=0))
