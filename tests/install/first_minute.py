"""What must work on every Python: every command starts, and the short ones answer."""

from __future__ import annotations

import json

from tests.install.environments import Installed

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
