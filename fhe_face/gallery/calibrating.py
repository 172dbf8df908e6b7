"""A gallery's own pairs, as far as they are needed, and its thresholds set by them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import version

import numpy as np

from fhe_face.gallery.calibration import CENTRE_FROM, Calibrated, Sample, calibrate
from fhe_face.gallery.facts import Mode
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.resealing import reseal
from fhe_face.gallery.settings import Settings
from fhe_face.models.templates import Array
from fhe_face.progress import Stage, silent

#: More people than any gallery has.
_NEVER = sys.maxsize


def calibrate_gallery(
    opened: Opened, centre_from: int = CENTRE_FROM, stage: Stage = silent
) -> Calibrated:
    """Measure, and decide by it from now on; a change of the centre seals everybody anew.

    Raises:
        CalibrationError: too few pairs; nothing has changed.
        Busy, StoreError: as `reseal`.
    """
    sample = Sample()
    for subject, templates, embeddings in people_of(opened):
        sample.add(subject, templates, embeddings)
    today = datetime.now(timezone.utc).date().isoformat()
    if opened.settings.crossing is not None:
        centre_from = _NEVER  # a server that has a face's ciphertext alone cannot centre it
    found = calibrate(sample, opened.facts.mode, today, version("fhe-face"), centre_from)
    changed = _change(found)
    if _same(opened.settings.centre, found.centre):
        after = changed(opened.settings)
        opened.save_settings(decision=after.decision, calibration=after.calibration)
    else:
        reseal(opened, changed, stage)
    return found


def people_of(opened: Opened) -> Iterator[tuple[str, list[str], Array]]:
    """Live subjects with their templates' ids and weighed embeddings (k, F), without blank ones."""
    ids = (row.id for row in opened.store.subjects())
    if opened.facts.mode is Mode.MEAN:
        rows = opened.store.templates_of(ids)
    else:
        rows = ((id, list(opened.store.templates(id))) for id in ids)
    for subject, templates in rows:
        found = [(id, one) for id, one in opened.opened(templates) if one.any()]
        if found:
            yield subject, [id for id, _ in found], np.stack([one for _, one in found])


def _change(found: Calibrated) -> Callable[[Settings], Settings]:
    def change(settings: Settings) -> Settings:
        return replace(
            settings,
            decision=found.decision,
            centre=found.centre,
            calibration=found.to_json(),
        )

    return change


def _same(one: Array | None, other: Array | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))
