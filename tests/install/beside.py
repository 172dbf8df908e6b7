"""A user's own `models`, `coeffs` and `tests` beside ours: each program gets what it asks for."""

from __future__ import annotations

from pathlib import Path

from tests.install.environments import call

OURS = "fhe_face.FaceServer, fhe_face.models.checkpoint.load, fhe_face.coeffs.fit.perform"
PROGRAM = f"""
from models import User
from coeffs import table
import tests.own
import fhe_face, fhe_face.models.checkpoint, fhe_face.coeffs.fit
{OURS}
print(User.__name__, table, tests.own.__name__)
"""
#: As a module, as a package, and as a package without __init__.py, which loses to any other.
SHAPES = {
    "modules": {"models.py": "class User: pass", "coeffs.py": "table = 1"},
    "packages": {"models/__init__.py": "class User: pass", "coeffs/__init__.py": "table = 1"},
}
NAMESPACES = """
import models.user, tests.own, fhe_face, fhe_face.models.checkpoint
fhe_face.FaceServer
print(models.user.User.__name__)
"""


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {**files, "tests/own.py": ""}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def check(python: Path, folder: Path) -> None:
    for shape, files in SHAPES.items():
        place = project(folder / shape, {**files, "app.py": PROGRAM})
        assert call([python, "app.py"], place) == "User 1 tests.own\n"
    files = {"models/user.py": "class User: pass", "app.py": NAMESPACES}
    place = project(folder / "namespaces", files)
    assert call([python, "app.py"], place) == "User\n"
    # The installed command beside such a project, in the way that a server process is started too.
    fitted = call([python, "-m", "fhe_face", "coeffs", "fit", "--json"], folder / "modules")
    assert '"degree": 2' in fitted
