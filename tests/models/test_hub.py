"""Downloads of published checkpoints, without any network."""

import hashlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhe_face.models import hub
from fhe_face.models.hub import CACHE_VARIABLE, HubError, Published, cache_folder, download

CONTENT = b"weights"
PINNED = Published(64, hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setitem(hub.PUBLISHED, 64, PINNED)
    return tmp_path / "cache"


def gives(content: bytes) -> Callable[[str, str, Path], Path]:
    def fetch(repository: str, file: str, folder: Path) -> Path:
        assert repository == "halmsu/cryptoface-v1"
        assert list(folder.iterdir()) == []
        (folder / file).write_bytes(content)
        return folder / file

    return fetch


def fails(error: Exception) -> Callable[[str, str, Path], Path]:
    def fetch(repository: str, file: str, folder: Path) -> Path:
        (folder / "part").write_bytes(b"half")
        raise error

    return fetch


def test_the_real_pin() -> None:
    real = Published(64, "e5b54e31c392959f79715aefe056aa8428a637f7196512fb3fded10d369dbe9c")
    assert real.file == "backbone-64x64.ckpt"
    assert real.address.startswith("https://huggingface.co/halmsu/cryptoface-v1/")


def test_pin_is_that_of_the_checkpoint(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert hub.PUBLISHED[64].sha256 == digest


def test_download_and_cache(cache: Path) -> None:
    path = download(64, gives(CONTENT))
    assert path == cache / "backbone-64x64.ckpt"
    assert path.read_bytes() == CONTENT
    assert list(cache.iterdir()) == [path]
    assert download(64, fails(AssertionError("it is in the cache"))) == path


def test_sizes_without_a_pin(cache: Path) -> None:
    for size in (96, 128):
        assert download(size, gives(b"any")).name == f"backbone-{size}x{size}.ckpt"
    with pytest.raises(ValueError, match="64, 96, 128"):
        download(65, gives(CONTENT))


def test_another_file_is_not_kept(cache: Path) -> None:
    with pytest.raises(HubError, match=r"not the published backbone-64x64\.ckpt.*expected"):
        download(64, gives(b"something else"))
    assert list(cache.iterdir()) == []


def test_damaged_cache(cache: Path) -> None:
    download(64, gives(CONTENT)).write_bytes(b"changed")
    with pytest.raises(HubError, match="not the published"):
        download(64, gives(CONTENT))


@pytest.mark.parametrize(
    "error",
    [
        OSError(113, "No route to host"),
        ConnectionError("first line\nsecond line\x1b[2J"),
        RuntimeError(""),
        ValueError("404 Client Error. Entry Not Found"),
        TimeoutError("timed out"),
    ],
)
def test_no_network(error: Exception, cache: Path) -> None:
    """One line: what was tried, and how to provide the file by hand."""
    with pytest.raises(HubError) as caught:
        download(64, fails(error))
    text = str(caught.value)
    assert "\n" not in text
    for words in (
        "tried to download backbone-64x64.ckpt of halmsu/cryptoface-v1",
        "huggingface.co/halmsu/cryptoface-v1/resolve/main/backbone-64x64.ckpt",
        str(cache / "backbone-64x64.ckpt"),
        type(error).__name__,
        "--weights",
    ):
        assert words in text
    assert list(cache.iterdir()) == []


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"pip install 'fhe-face\[hub\]'.*by hand"):
        download(64)


def test_with_huggingface_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """The library is called as its documentation says."""
    calls: list[dict[str, Any]] = []

    def hf_hub_download(**arguments: Any) -> str:
        calls.append(arguments)
        path = Path(arguments["local_dir"]) / str(arguments["filename"])
        path.write_bytes(CONTENT)
        return str(path)

    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = hf_hub_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    assert download(64).read_bytes() == CONTENT
    (call,) = calls
    assert call.keys() == {"repo_id", "filename", "local_dir"}


def test_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_bytes(b"a file, not a folder")
    with pytest.raises(HubError, match=f"cannot be kept there.*{CACHE_VARIABLE}"):
        download(64, gives(CONTENT))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/fhe-face/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/anna")
    assert cache_folder() == Path("/home/anna/.cache/fhe-face/weights")
