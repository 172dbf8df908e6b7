"""Where the benchmark wants its files, and which stages have finished."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhe_core.files import FileError, atomic_write, explain, open_regular, shown

#: Names of the instances 0 to 3, and their pairs.
INSTANCES: Final = (("single", 1), ("small", 128), ("medium", 256), ("large", 1024))
_MAX_RECORD_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Model:
    """What belongs to all instances; root: the benchmark's folder."""

    root: Path

    @property
    def weights(self) -> Path:
        return self.root / "io" / "server_data" / "weights.safetensors"


@dataclass(frozen=True)
class Instance:
    """The files of one instance. Whoever may read a file is decided by its folder.

    secret_key and intermediate stay with the client; the rest crosses, but the input.
    """

    root: Path
    size: int

    @property
    def name(self) -> str:
        return INSTANCES[self.size][0]

    @property
    def pairs(self) -> int:
        """How many pairs the benchmark gives."""
        return INSTANCES[self.size][1]

    @property
    def model(self) -> Model:
        return Model(self.root)

    @property
    def io(self) -> Path:
        return self.root / "io" / self.name

    @property
    def input(self) -> Path:
        return self.root / "datasets" / self.name / "intermediate" / "test_pairs.h5"

    @property
    def secret_key(self) -> Path:
        return self.io / "secret_key" / "client.key"

    @property
    def evaluation_key(self) -> Path:
        return self.io / "public_keys" / "evaluation.key"

    @property
    def prepared(self) -> Folder:
        return Folder(self.io / "intermediate" / "faces", ".npz")

    @property
    def uploads(self) -> Folder:
        return Folder(self.io / "ciphertexts_upload", ".ct")

    @property
    def downloads(self) -> Folder:
        return Folder(self.io / "ciphertexts_download", ".ct")

    @property
    def decrypted(self) -> Path:
        return self.io / "intermediate" / "scores.json"

    @property
    def server_report(self) -> Path:
        return self.io / "server_reported.json"

    @property
    def predictions(self) -> Path:
        return self.io / "encrypted_model_predictions.txt"

    def begin(self, stage: Folder | Path) -> None:
        """Take back what this stage and those after it had declared finished.

        Raises:
            FileError: a folder cannot be made or a file not removed.
        """
        order: list[Folder | Path] = [
            self.prepared,
            self.uploads,
            self.downloads,
            self.server_report,
            self.decrypted,
            self.predictions,
        ]
        for later in order[order.index(stage) :]:
            remove(later.record if isinstance(later, Folder) else later)
        if isinstance(stage, Folder):
            make_folder(stage.path)
            for leftover in stage.path.glob(".*.tmp"):  # of a process that was killed
                remove(leftover)


@dataclass(frozen=True)
class Folder:
    """One file per pair, and ``complete.json`` once all of them are there."""

    path: Path
    suffix: str

    @property
    def record(self) -> Path:
        return self.path / "complete.json"

    def file(self, pair: int, face: int | None = None) -> Path:
        """The file of a pair, or of one of its two faces, both counted from 0."""
        which = "" if face is None else f"-{face}"
        return self.path / f"pair-{pair:04d}{which}{self.suffix}"

    def complete(self, pairs: int, **more: Any) -> None:
        """Declare the stage finished.

        Raises:
            FileError: it cannot be written.
        """
        write_json(self.record, {"pairs": pairs, **more})

    def require(self, stage: str) -> int:
        """The number of pairs of a finished stage.

        Raises:
            FileError: it has not finished.
        """
        if not self.record.exists():
            raise FileError(f"{shown(self.path)}: not complete; run {stage} first")
        count = read_json(self.record).get("pairs")
        if type(count) is not int or not 1 <= count <= INSTANCES[-1][1]:
            raise FileError(f"{shown(self.record)}: damaged; run {stage} again")
        return count

    def drop_from(self, pairs: int) -> None:
        """Remove files of pairs from that number on, which another input had."""
        for file in self._files():
            if int(file.name[5:9]) >= pairs:
                remove(file)

    def _files(self) -> Iterator[Path]:
        yield from sorted(self.path.glob(f"pair-[0-9][0-9][0-9][0-9]*{self.suffix}"))


def make_folder(path: Path, *, private: bool = False) -> None:
    """Create a folder with its parents.

    Raises:
        FileError: that is not possible.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if private:
            path.chmod(0o700)
    except OSError as error:
        raise explain(path, "create folder", error) from error


def remove(path: Path) -> None:
    """Remove a file that may be missing.

    Raises:
        FileError: it is there and stays.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise explain(path, "remove", error) from error


def write_json(path: Path, content: dict[str, Any], *, private: bool = False) -> None:
    """Write an object atomically; FileError where that fails."""
    with atomic_write(path, private=private) as stream:
        stream.write(json.dumps(content, indent=1, allow_nan=False).encode("ascii") + b"\n")


def read_json(path: Path, limit: int = _MAX_RECORD_BYTES) -> dict[str, Any]:
    """An object from a file of at most `limit` bytes.

    Raises:
        FileError: it is missing, too large, or holds something else.
    """
    with open_regular(path) as stream:
        data = stream.read(limit + 1)
    try:
        content = json.loads(data) if len(data) <= limit else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise FileError(f"{shown(path)}: damaged, it does not hold a JSON object")
    return content
