"""The Dockerfile's own commands, as far as a machine without a container engine can run them.

Its RUN lines fill an empty environment from a copy of this checkout; what needs an image's own root
(apt-get, useradd) is left out. Then its ENTRYPOINT and CMD run as its USER, with packages that this
user cannot change, and a client goes from a token to a face that is identified.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_face.demo_faces import demo_faces
from tests.install.environments import base_pythons, clean
from tests.remote.test_transcript import loaded, said
from tests.service.test_image import instructions

#: What an image's own root is needed for.
_OF_THE_IMAGE = ("apt-get", "rm", "useradd")
_PATIENCE = 1800
#: Half the time of the build: what is computed here is small.
QUICK = {
    "SKBUILD_CMAKE_BUILD_TYPE": "Debug",
    "SKBUILD_CMAKE_DEFINE": "CMAKE_CXX_FLAGS_DEBUG=-O0",
}
_SYSTEM = Path("/usr/bin/python3")


@dataclass(frozen=True)
class Machine:
    """Where the image's folders are on this machine. user: who runs the service."""

    root: Path
    user: int
    environment: Mapping[str, str]

    def here(self, text: str) -> str:
        """With the image's folders as they are named here."""
        return re.sub(r"(?<![\w.])/(opt|data|source|tmp)\b", rf"{self.root}/\1", text)

    @property
    def own(self) -> dict[str, object]:
        """For `subprocess`: as the image's user, where this process may choose."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.user, "group": self.user, "extra_groups": []}

    def command(self, *words: str) -> list[str]:
        """A command of the image, which is found on its PATH."""
        found = shutil.which(words[0], path=self.environment["PATH"])
        assert found is not None, words
        return [found, *map(self.here, words[1:])]


def stages(repository: Path) -> list[list[tuple[str, str]]]:
    """All instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    text = (repository / "Dockerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            found.append([])
        elif name and not name.startswith("#"):
            found[-1].append((name, rest.strip()))
    return found


def steps(run: str) -> Iterator[str]:
    """The commands of a RUN that this machine can run."""
    for step in run.split("&&"):
        if shlex.split(step)[0] not in _OF_THE_IMAGE:
            yield step.strip()


def interpreter(user: int) -> Path:
    """One that the image's user may run as well."""
    code = "import ensurepip, venv"
    for python in (*base_pythons().values(), _SYSTEM):
        own = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([python, "-c", code], check=True, capture_output=True, cwd="/", **own)  # type: ignore[call-overload]
            return python
    pytest.skip(f"user {user} may run none of this machine's Python interpreters with venv")


@pytest.fixture(scope="module")
def image(repository: Path) -> Iterator[Machine]:
    """What the build leaves."""
    last = dict(instructions(repository))
    user = int(last["USER"].split(":")[0])
    python = interpreter(user)
    # Not pytest's own folder, which nobody else may enter.
    root = Path(tempfile.mkdtemp(prefix="fhe-face-image-")).resolve()
    try:
        root.chmod(0o755)
        for name in ("opt", "tools", "source", "tmp"):
            (root / name).mkdir()
        (root / "tmp").chmod(0o1777)
        (root / "tools" / "python").symlink_to(python)
        files = subprocess.run(
            ["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True
        )
        for name in filter(None, files.stdout.split("\0")):
            target = root / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(repository / name, target, follow_symlinks=False)
        given = shlex.split(last["ENV"])
        environment = {"HOME": str(root / "data"), "TMPDIR": str(root / "tmp")}
        machine = Machine(root, user, environment)
        path = f"{root}/tools{os.pathsep}{os.environ['PATH']}"
        for one in given:
            name, _, value = one.partition("=")
            environment[name] = machine.here(value).replace("$PATH", path)
        build(repository, machine, path)
        yield machine
    finally:
        shutil.rmtree(root, ignore_errors=True)


def build(repository: Path, machine: Machine, path: str) -> None:
    """Run what the RUN lines say."""
    first, last = stages(repository)
    assert ("WORKDIR", "/source") in first
    assert ("COPY", ". .") in first
    assert ("COPY", "--from=build /opt/fhe-face /opt/fhe-face") in last
    names = r"\bfaces\b", str(machine.user)
    ran = []
    for name, rest in (*first, *last):
        for step in steps(rest) if name == "RUN" else ():
            command = machine.here(re.sub(*names, step) if step.startswith("install ") else step)
            done = subprocess.run(
                ["sh", "-ec", command],
                cwd=machine.root / "source",
                env={**clean(), **QUICK, "PATH": path, "TMPDIR": str(machine.root / "tmp")},
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
            if "No matching distribution" in done.stderr or "NewConnectionError" in done.stderr:
                pytest.skip(f"no package index can be reached: {done.stderr.strip()[-200:]}")
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            ran.append(shlex.split(step)[0])
    assert ran == ["python", "/opt/fhe-face/bin/pip", "install"]
    subprocess.run(["chmod", "-R", "a-w", machine.root / "opt"], check=True)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and when it was changed."""
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path)] = status.st_size, status.st_mtime_ns
    return found


@contextmanager
def serving(machine: Machine, words: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """ENTRYPOINT and CMD; the process, and where it listens."""
    log = (machine.root / "log").open("w")
    with (
        log,
        subprocess.Popen(
            machine.command(*words),
            env=dict(machine.environment),
            cwd=machine.root / "data" if os.geteuid() else "/",
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            **machine.own,  # type: ignore[call-overload]
        ) as child,
    ):
        try:
            line = child.stdout.readline()
            assert line.startswith("listening on "), (machine.root / "log").read_text()
            yield child, line.split()[-1]
        finally:
            if child.poll() is None:
                child.kill()


@pytest.mark.slow
def test_from_the_dockerfile_to_a_face_that_is_identified(
    repository: Path, image: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = dict(instructions(repository))
    entry, options = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    before = listing(image.root / "opt")

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            image.command(*words),
            env=dict(image.environment),
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **image.own,
        )

    head = (repository / "Dockerfile").read_text().partition("FROM")[0]
    made = next(line for line in head.splitlines() if " token create " in line)
    token = ran(*entry, *made.partition(" fhe-face ")[2].split())
    assert token.returncode == 0, token.stderr
    with serving(image, [*entry, *options, "--port", "0"]) as (child, url):
        probe = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
        port = url.rpartition(":")[2]
        end = time.monotonic() + 300
        while ran(*probe[:-1], port).returncode:
            assert time.monotonic() < end, (image.root / "log").read_text()
            time.sleep(1)
        status = Path(f"/proc/{child.pid}/status").read_text()
        assert re.search(r"^Uid:\s+(\d+)", status, re.M)[1] != "0"  # type: ignore[index]
        client(url, token.stdout, tmp_path, monkeypatch)
        child.send_signal(getattr(signal, last["STOPSIGNAL"]))
        assert child.wait(60) == 0
    assert listing(image.root / "opt") == before, "the package's folder was written to"
    data = (image.root / "data").stat()
    assert (data.st_uid, data.st_mode & 0o077) == (
        image.user if not os.geteuid() else os.geteuid(),
        0,
    )


def client(url: str, token: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the token to a face that is identified."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "settings"))
    (folder / "token").write_text(token)
    for name, person, pixels in zip("ab", ("ann", "bob"), demo_faces(), strict=True):
        (folder / "people" / person).mkdir(parents=True)
        for file in (folder / f"{name}.png", folder / "people" / person / "1.png"):
            Image.fromarray(np.ascontiguousarray(pixels)).save(file)
    for line in (
        f"remote login {url} --token-file token",
        "remote gallery create friends --names --aligned",
        "remote enroll people --gallery friends --json",
    ):
        said(line.split())
    found = loaded(said(["remote", "identify", "a.png", "--gallery", "friends", "--json"]))
    (face,) = found["photos"][0]["faces"]
    assert (face["answer"], face["candidates"][0]["name"]) == ("match", "ann")
