"""The detector, where OpenCV and its model file are, and real faces, where the test data is."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhe_face.models.faces import Aligner, Detector, DetectorError


@pytest.fixture(scope="session")
def detector() -> Detector:
    try:
        return Detector()
    except DetectorError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def aligner(detector: Detector) -> Aligner:
    return Aligner(64, detector)


@pytest.fixture(scope="session")
def johns(shared: Path) -> list[Path]:
    """Five people, eleven tight colour photos each, in folders named after them."""
    photos = sorted((shared / "faces" / "johns").glob("*/*.jpg"))
    if not photos:
        pytest.skip(f"no test data: {shared / 'faces' / 'johns'} is missing or empty")
    return photos
