"""Photos count by their sharpness: what is sealed, and what calibration makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fhe_face.gallery.calibration import pairs_of
from fhe_face.gallery.facts import Mode
from fhe_face.models.quality import photo_weights
from fhe_face.models.templates import unit
from fhe_face.photos.images import to_pixels, to_unit
from tests.gallery.kit import Pixels, expected, face, make, photo
from tests.gallery.test_calibration import drawn


def blurred(person: int, photo: int) -> Pixels:
    """A face without any detail that still says who it is."""
    found = np.zeros_like(face(person, photo))
    found[:] = np.linspace(0, 255, len(found))[None, :, None]
    found[0, 0] = face(person, photo)[0, 0]
    return found


@pytest.mark.parametrize("template", ["mean", "each"])
def test_a_blurred_photo_weighs_less(tmp_path: Path, template: str) -> None:
    pictures = [face(1, 0), blurred(1, 1)]
    weights = photo_weights(np.stack(pictures))
    assert weights[0] == 1 > weights[1]
    embeddings = [expected(1, 0), expected(1, 1)]
    with make(tmp_path / "g", template=template) as gallery:
        gallery.enroll([photo(one) for one in pictures], subject="ann")
        opened = gallery.opened
        rows = list(opened.store.templates())
        found = [opened.vault.open_record(row.id, row.record) for row in rows]
        assert np.linalg.norm(found, axis=1) == pytest.approx(weights, abs=1e-3)
        owners = [rows[0].subject] if template == "mean" else [row.id for row in rows]
        sealed = list(opened.vectors(owners, opened.settings).values())
        wanted = [unit(weights @ embeddings)] if template == "mean" else embeddings
        assert np.abs(np.stack(sealed) - np.stack(wanted)).max() < 1e-3


def test_a_probe_of_calibration_has_no_weight() -> None:
    """A weight is for the mean; scores of pairs stay cosines."""
    people = drawn(4, 3, 0.5)
    draw = np.random.default_rng(0)
    weighed = [draw.uniform(0.05, 1, (len(own), 1)) * own for own in people]
    for centre in (None, np.mean([own[0] for own in people], axis=0)):
        plain, found = (pairs_of(one, Mode.EACH, centre) for one in (people, weighed))
        assert found.same == pytest.approx(plain.same)
        assert found.different == pytest.approx(plain.different)
        scores = pairs_of(weighed, Mode.MEAN, centre)
        assert np.abs(scores.same).max() <= 1 + 1e-9
    first = pairs_of(weighed, Mode.MEAN, None)
    others = unit(weighed[1][0] + weighed[1][1])
    assert first.same[5] == pytest.approx(float(people[1][2] @ others))


def test_pixels_come_back() -> None:
    picture = face(3, 1)
    assert np.array_equal(to_pixels(to_unit(picture)), picture)
