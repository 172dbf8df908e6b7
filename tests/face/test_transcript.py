"""A newcomer's first minutes: a clone, then every command of the README, in order and as written.

pip takes what it can from the packages of this environment (they are on PYTHONPATH) and asks its
index for the rest, as a newcomer's would; the official weights come from the test data in place of
the network, by the cache that `weights download` looks into.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.face.newcomer import PLACED, place_photos
from tests.face.test_readme import blocks

_PATIENCE_SECONDS = 1800
#: What pip says where it has no index, and the index not what is asked for.
_OFFLINE = ("No matching distribution found", "Could not find a version", "Connection")


@pytest.mark.full
@pytest.mark.slow
def test_from_clone_to_answer(
    repository: Path, checkpoint: Path, shared: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "fhe-face"
    cloned = ["git", "clone", "--quiet", str(repository), str(clone)]
    if subprocess.run(cloned, capture_output=True, check=False).returncode:
        pytest.skip("this is no git checkout, so that there is nothing to clone")
    place_photos(shared, clone)
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    shutil.copyfile(checkpoint, downloads / checkpoint.name)
    typed = "".join(blocks(repository, "sh"))
    process = subprocess.run(
        ["bash", "-e", "-x", "-c", typed],
        cwd=clone,
        env={
            **os.environ,
            "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
            "FHE_FACE_CACHE": str(downloads),
            "PYTHONPATH": os.pathsep.join(packages()),
            "PIP_NO_BUILD_ISOLATION": "0",  # that is: no isolation
            "SKBUILD_CMAKE_DEFINE": "CMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF",  # seconds saved
        },
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    if process.returncode and any(text in process.stderr for text in _OFFLINE):
        pytest.skip(f"pip has no index here: {process.stderr.splitlines()[-1]}")
    assert process.returncode == 0, process.stderr
    (answer,) = re.findall(r"^same person: .*$", process.stdout, re.MULTILINE)
    (shown,) = blocks(repository, "text")
    pattern = re.sub(r"0\\.\d+", r"0\\.\\d{3}", re.escape(shown.strip()))
    assert re.fullmatch(pattern, answer), answer
    (found,) = re.findall(r"^b\.jpg: (\w+) (\w+) ", process.stdout, re.MULTILINE)
    assert found == ("match", sorted((shared / "faces" / "johns").iterdir())[0].name)
    with Image.open(clone / "answers.png") as picture:
        assert max(picture.size) >= 480
    status = subprocess.run(
        ["git", "-C", str(clone), "status", "--porcelain"],
        capture_output=True,
        text=True,
        check=True,
    )
    left = {line.split()[-1] for line in status.stdout.splitlines()}
    assert left <= {*PLACED, "friends/", "answers.png"}, "the clone stays clean"


def packages() -> list[str]:
    """The folders of this environment's packages, those that .pth files add as well."""
    folders = [*site.getsitepackages(), *sys.path]
    return [folder for folder in dict.fromkeys(folders) if folder.endswith("site-packages")]
