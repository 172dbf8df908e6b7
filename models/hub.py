"""The published checkpoints: what they are called, and getting them over the network."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_core.errors import Failure
from fhe_core.files import read_bounded, reason_of, write_whole
from fhe_face.models.checkpoint import MAX_FILE_BYTES

REPOSITORY: Final = "halmsu/cryptoface-v1"
#: Where downloads are kept; default: fhe-face/weights in the user's cache folder.
CACHE_VARIABLE: Final = "FHE_FACE_CACHE"
_OTHER_SOURCE: Final = "https://github.com/human-analysis/CryptoFace links to the authors' drive"

#: Called with the repository, a file's name and an empty folder; puts the file there and returns
#: its path. Raises anything where it cannot.
Fetch = Callable[[str, str, Path], Path]


class HubError(Failure, RuntimeError):
    """A checkpoint that could not be downloaded; one line with what was tried and what helps."""

    code = "download"


@dataclass(frozen=True)
class Published:
    """A checkpoint of the authors. sha256: of the file, None where it was never seen here."""

    input_size: int
    sha256: str | None

    @property
    def file(self) -> str:
        """Its name in the repository, and in the authors' programs."""
        return f"backbone-{self.input_size}x{self.input_size}.ckpt"

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"https://huggingface.co/{REPOSITORY}/resolve/main/{self.file}"


#: When last looked at, the repository held the first one only.
PUBLISHED: Final = {
    64: Published(64, "e5b54e31c392959f79715aefe056aa8428a637f7196512fb3fded10d369dbe9c"),
    96: Published(96, None),
    128: Published(128, None),
}


def cache_folder() -> Path:
    """Where downloads are kept; it need not exist."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fhe-face" / "weights"


def published_file(input_size: int) -> Path:
    """Where the published checkpoint for such faces is kept once it is downloaded.

    KeyError: a size that none was published for.
    """
    return cache_folder() / PUBLISHED[input_size].file


def download(input_size: int = 64, fetch: Fetch | None = None) -> Path:
    """The published checkpoint for faces of 64, 96 or 128 pixels, from the cache or the network.

    A file with a pinned digest is checked, also in the cache; nothing else gets a place there.
    fetch: in place of huggingface-hub. HubError: it is not there, cannot be had or kept, or is
    another file. ValueError: another size.
    """
    if input_size not in PUBLISHED:
        raise ValueError(f"size is {input_size}; it must be one of 64, 96, 128")
    published = PUBLISHED[input_size]
    target = published_file(input_size)
    if target.is_file():
        try:
            data = read_bounded(target, MAX_FILE_BYTES)
        except OSError as error:
            raise HubError(f"{target}: cannot be read ({reason_of(error)})") from None
        _require_pinned(published, data, target)
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=target.parent) as folder:
            data = _fetched(published, fetch, Path(folder), target)
        _require_pinned(published, data, published.address)
        write_whole(target, data)
    except OSError as error:
        raise HubError(
            f"{target.parent}: downloads cannot be kept there ({reason_of(error)}); "
            f"{CACHE_VARIABLE} names another folder"
        ) from None
    return target


def _fetched(published: Published, fetch: Fetch | None, folder: Path, target: Path) -> bytes:
    """The file's content; HubError with everything a person can do where it cannot be had."""
    try:
        path = (fetch or _with_huggingface_hub)(REPOSITORY, published.file, folder)
        return read_bounded(path, MAX_FILE_BYTES)
    except ImportError:
        reason = "huggingface-hub is not installed (pip install 'fhe-face[hub]')"
    except Exception as error:  # of the network, of the hub, of the file: many kinds
        lines = str(error).strip().split("\n")
        reason = f"{type(error).__name__}: {lines[0][:200]}" if lines[0] else type(error).__name__
    raise HubError(
        f"tried to download {published.file} of {REPOSITORY} from huggingface.co: {reason}; by "
        f"hand: get {published.address} ({_OTHER_SOURCE}) and put it at {target}, or give any "
        "file with --weights"
    )


def _with_huggingface_hub(repository: str, file: str, folder: Path) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo_id=repository, filename=file, local_dir=folder))


def _require_pinned(published: Published, data: bytes, where: object) -> None:
    digest = hashlib.sha256(data).hexdigest()
    if published.sha256 is not None and digest != published.sha256:
        raise HubError(
            f"{where}: not the published {published.file}: its SHA-256 is {digest}, expected "
            f"{published.sha256}"
        )
