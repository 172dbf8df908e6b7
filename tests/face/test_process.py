"""Signals, names of any bytes, limits of containers and systems, temporary folders."""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fhe_face import cgroups, cli, process, system
from fhe_face.client.names import load_names
from fhe_face.demo_faces import demo_faces
from fhe_face.failures import describe
from tests.face.kit import Kit, Run

CLI = (sys.executable, "-m", "fhe_face.cli")
#: A name that is no UTF-8, as Python has it.
CAFE = os.fsdecode(b"caf\xe9.png")


def started(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*CLI, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )


# --- signals --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_through_finally(number: int) -> None:
    before = signal.getsignal(number)
    cleaned = []

    def body() -> None:
        with process.tidy_end():
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            finally:
                os.kill(os.getpid(), number)  # further ones do not disturb the cleaning
                cleaned.append(True)

    with pytest.raises(SystemExit) as caught:
        body()
    assert caught.value.code == 128 + number
    assert cleaned == [True]
    assert signal.getsignal(number) is before


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with process.tidy_end():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_command_line_in_a_thread(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[object] = []

    def body() -> None:
        try:
            cli.main(["security", "--json"])
        except SystemExit as ended:
            found.append(ended.code)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [0], capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("heard")
def test_a_closed_terminal_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    command = [*CLI, "keygen", "--out", str(folder)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(folder.glob(".keygen-*/.evaluation.key*")):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.1)
    running.send_signal(signal.SIGHUP)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (129, b"")
    assert not list(tmp_path.iterdir())


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "name"), [("utf-8:strict", CAFE), ("ascii", "Zoë.png")])
def test_names_of_any_bytes(tmp_path: Path, encoding: str, name: str) -> None:
    photo = tmp_path / name
    Image.fromarray(demo_faces(200)[0]).save(photo)
    text = started("align", photo, "-o", tmp_path / "a", PYTHONIOENCODING=encoding)
    assert text.returncode == 0, text.stderr
    answer = started("align", photo, "-o", tmp_path / "b", "--json", PYTHONIOENCODING=encoding)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout.decode(encoding.partition(":")[0]))
    assert found["images"][0]["image"] == str(photo)
    missing = started(
        "align", f"{photo}x", "-o", tmp_path / "c", "--json", PYTHONIOENCODING=encoding
    )
    assert missing.returncode == 1
    assert b"Traceback" not in missing.stderr
    assert b"internal" not in missing.stderr
    assert "no such file" in json.loads(missing.stdout.decode(encoding.partition(":")[0]))["error"]


def test_names_of_any_bytes_in_a_batch(kit: Kit, fhe_face: Run, tmp_path: Path) -> None:
    photo, names = tmp_path / CAFE, tmp_path / "names.json"
    Image.fromarray(demo_faces(64)[0]).save(photo)
    arguments = ("encrypt", "--key", kit.folder / "many.key", photo, "-o", tmp_path / "x.ct")
    assert fhe_face(*arguments, "--names", names).status == 0
    assert load_names(names, 1) == [str(photo)]


# --- help and usage -------------------------------------------------------------------------------


_HELPS = """
import json, typer
from fhe_face import cli
def helps(command, name=""):
    yield name, command.help
    for own, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{name} {own}")
print(json.dumps(dict(helps(typer.main.get_command(cli.app)))))
"""


def test_help_without_docstrings() -> None:
    command = [sys.executable, "-OO", "-c", _HELPS]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert {"", " encrypt", " bench kernels", " coeffs fit", " weights list"} <= set(found)
    for name, text in found.items():
        assert text, f"fhe-face{name} has no help"


@pytest.mark.parametrize("arguments", [(), ("bench",), ("weights",), ("coeffs",)])
def test_no_arguments_show_help(fhe_face: Run, arguments: tuple[str, ...]) -> None:
    result = fhe_face(*arguments)
    assert result.status == 2
    assert "error" not in result.err
    assert "--help" in result.out + result.err


def test_wrong_usage_as_json(fhe_face: Run) -> None:
    for arguments in (("encrypt", "--json"), ("security", "--nonsense", "--json")):
        answer = fhe_face(*arguments).json()
        assert answer["error_type"] == "UsageError"


@pytest.mark.parametrize(
    "module", ["fhe_face.coeffs.fit", "fhe_face.cli plan", "fhe_face.cli security"]
)
def test_a_reader_that_stops_early(module: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", *module.split()]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


# --- kernels and threads --------------------------------------------------------------------------


def test_kernels_that_are_not_there(
    kit: Kit, fhe_face: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FHE_FACE_KERNELS", "avx1024")
    Image.fromarray(demo_faces(64)[0]).save(tmp_path / "photo.png")
    commands = (
        ("encrypt", "--key", kit.client_key, tmp_path / "photo.png", "-o", tmp_path / "x.ct"),
        ("decrypt", "--key", kit.client_key, kit.score_ct),
        ("keygen", "--out", tmp_path / "keys"),
    )
    for command in commands:
        line = fhe_face(*command).refused()
        assert 'FHE_FACE_KERNELS: kernels "avx1024" are not available here' in line
        assert "scalar" in line
        assert "ternary" not in line


def test_threads_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert process.can_start_threads(3)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert not process.can_start_threads(1)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    process.spare_threads()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    for error in (RuntimeError("can't start new thread"), BlockingIOError(errno.EAGAIN, "again")):
        failure = describe(error)
        assert "--threads" in str(failure)
        assert failure.status == 1


def test_the_command_line_starts_without_numpy() -> None:
    """So that what numpy may start can still be limited."""
    code = "import sys, fhe_face.cli; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- containers -----------------------------------------------------------------------------------


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = {"proc/meminfo": "MemTotal: 8 kB\nMemAvailable:  20000000 kB\n"}
V1 = {
    "proc/self/cgroup": "5:memory:/a/b\n3:cpu,cpuacct:/a\n0::/\n",
    "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/memory/a/b/memory.usage_in_bytes": "1000\n",
    "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "3000000000\n",
    "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "1500000000\n",
    "sys/fs/cgroup/memory/a/memory.stat": "cache 7\ntotal_inactive_file 500000000\n",
    "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
}
V2 = {
    "proc/self/cgroup": "0::/pod/box\n",
    "sys/fs/cgroup/pod/box/memory.max": "max\n",
    "sys/fs/cgroup/pod/box/memory.current": "5\n",
    "sys/fs/cgroup/pod/box/cpu.max": "max 100000\n",
    "sys/fs/cgroup/pod/memory.max": "3000000000\n",
    "sys/fs/cgroup/pod/memory.current": "1500000000\n",
    "sys/fs/cgroup/pod/memory.stat": "anon 1\ninactive_file 500000000\n",
    "sys/fs/cgroup/pod/cpu.max": "50000 100000\n",
}
#: A container's own group, which it sees at the mount.
INSIDE = {
    "proc/self/cgroup": "0::/docker/0123\n",
    "sys/fs/cgroup/memory.max": "2500000000\n",
    "sys/fs/cgroup/memory.current": "500000000\n",
    "sys/fs/cgroup/cpu.max": "100000 100000\n",
}


@pytest.mark.parametrize(("files", "cpus"), [(V1, 1.5), (V2, 0.5), (INSIDE, 1.0)])
def test_limits_of_containers(tmp_path: Path, files: dict[str, str], cpus: float) -> None:
    root = tree(tmp_path, {**MEMINFO, **files})
    assert cgroups.memory_left(root) == 2_000_000_000
    assert system.available_memory_bytes(root) == 2_000_000_000
    assert cgroups.processors(root) == cpus


def test_no_limits(tmp_path: Path) -> None:
    assert cgroups.memory_left(tmp_path) is None
    assert cgroups.processors(tmp_path) is None
    assert system.available_memory_bytes(tmp_path) is None
    root = tree(tmp_path, {**MEMINFO, "proc/self/cgroup": "nonsense\n0::/x\n"})
    assert system.available_memory_bytes(root) == 20_000_000 << 10
    tree(root, {"sys/fs/cgroup/x/memory.max": "many", "sys/fs/cgroup/x/cpu.max": "-1 0"})
    assert cgroups.memory_left(root) is None
    assert cgroups.processors(root) is None


def test_threads_follow_affinity_and_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    assert system.default_threads(tmp_path) == 6
    assert system.default_threads(tree(tmp_path, V1)) == 2
    assert system.default_threads(tree(tmp_path / "2", V2)) == 1


# --- private memory and temporary folders ---------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_commands_with_the_secret_key_keep_their_memory() -> None:
    code = (
        "import ctypes, resource; from fhe_face.process import keep_memory_private as keep; keep();"
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0], ctypes.CDLL(None).prctl(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"0 0\n"


def test_the_commands_that_do(kit: Kit, fhe_face: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    kept: list[Any] = []
    from fhe_face.commands import secrecy

    monkeypatch.setattr(secrecy, "keep_memory_private", lambda: kept.append(1))
    fhe_face("encrypt", "--key", kit.client_key, "none.png", "-o", "none.ct")
    fhe_face("decrypt", "--key", kit.client_key, "none.ct")
    fhe_face("keygen", "--out", kit.folder)
    fhe_face("demo", "none.png")
    fhe_face("evaluate", "none", "--weights", "none")
    assert len(kept) == 5


@pytest.mark.parametrize("variable", ["TMPDIR", "TEMP", "TMP"])
def test_a_temporary_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fhe_face: Run, variable: str
) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    line = fhe_face("demo").refused()
    assert "missing: no such file or folder" in line
    assert variable in line
    monkeypatch.setenv(variable, str(tmp_path))
    with system.temporary_folder("x-") as folder:
        assert folder.parent == tmp_path
    assert not list(tmp_path.iterdir())


def test_streams_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    with process.any_names():
        print("Zoë")
    assert stream.errors == "strict"
    stream.flush()
    assert stream.buffer.getvalue() == b"Zo\\xeb\n"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library")
def test_freed_memory_goes_back() -> None:
    """Blocks below one that is in use: the C library alone would keep them."""

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    blocks = [bytearray(os.urandom(1 << 16)) for _ in range(2000)]
    last = blocks.pop()
    blocks.clear()
    before = resident()
    system.give_back_memory()
    assert resident() < before - (100 << 20)
    assert len(last) == 1 << 16
