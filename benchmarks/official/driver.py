"""Plays the benchmark's harness on pictures of your own, and compares with the model in the clear.

    python benchmarks/official/driver.py ROOT SIZE --pictures DIR --weights FILE [--pairs N]

ROOT is made or used again; io/<instance> in it is emptied. Pictures are taken in the order of
their names, and every two make a pair. N below the instance's pairs is a trial: a stage says so.
Prints one JSON object, and ends with status 1 where a stage or a check fails.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.official.stages.faces import require
from benchmarks.official.stages.layout import Instance
from benchmarks.official.stages.pairs import NAMES
from benchmarks.official.stages.weights import VARIABLE
from fhe_face.models import reference
from fhe_face.network import load_network

#: In the harness's order; the second takes no argument.
STAGES = (
    "client_key_generation",
    "server_preprocess_model",
    "client_preprocess_input",
    "client_encode_encrypt_input",
    "server_encrypted_compute",
    "client_decrypt_decode",
    "client_postprocess",
)
PROGRAMS = Path(__file__).resolve().parent
_REPOSITORY = PROGRAMS.parent.parent
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


def write_pairs(target: Path, pictures: Sequence[tuple[bytes, bytes]]) -> None:
    """The input file as the harness writes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(target, "w") as file:
        for side, name in enumerate(NAMES):
            rows = file.create_dataset(name, len(pictures), h5py.vlen_dtype(np.uint8))
            for number, pair in enumerate(pictures):
                rows[number] = np.frombuffer(pair[side], np.uint8)


def run_stage(root: Path, stage: str, size: int, weights: Path) -> subprocess.CompletedProcess[str]:
    """One stage as the harness runs it; what it says on stderr is passed on and returned."""
    arguments = [] if stage == "server_preprocess_model" else [str(size)]
    return subprocess.run(
        [sys.executable, str(PROGRAMS / f"{stage}.py"), *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(_REPOSITORY), VARIABLE: str(weights.resolve())},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def read_scores(file: Path, count: int) -> list[float]:
    """The scores, checked as the harness does; ValueError where the file is not as it must be."""
    text = file.read_text(encoding="ascii")
    scores = [float(line) for line in text.splitlines()]
    if len(scores) != count or not text.endswith("\n") or not all(map(math.isfinite, scores)):
        raise ValueError(f"{file}: not {count} finite scores, one a line")
    return scores


def clear_scores(instance: Instance, count: int, weights: Path) -> NDArray[np.float64]:
    """Cosines of the model in the clear on the very faces that were encrypted."""
    faces = np.concatenate([require(instance.prepared, n).faces for n in range(count)])
    embeddings = reference.embed(load_network(weights), faces)
    with np.errstate(all="ignore"):
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(np.sum(embeddings[::2] * embeddings[1::2], axis=1))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def drive(root: Path, size: int, count: int, weights: Path) -> dict[str, Any]:
    """All stages on the input that is there; RuntimeError where one fails."""
    instance = Instance(root, size)
    shutil.rmtree(instance.io, ignore_errors=True)
    instance.io.mkdir(parents=True)
    seconds = {}
    for stage in STAGES:
        started = time.perf_counter()
        done = run_stage(root, stage, size, weights)
        seconds[stage] = round(time.perf_counter() - started, 2)
        sys.stderr.write(done.stderr)
        if done.returncode:
            raise RuntimeError(f"{stage} ended with status {done.returncode}: {done.stderr}")
    scores = read_scores(instance.predictions, count)
    clear = clear_scores(instance, count, weights)
    rows = json.loads(instance.decrypted.read_text(encoding="ascii"))["pairs"]
    answered = [number for number, row in enumerate(rows) if "cosine" in row]
    report = json.loads(instance.server_report.read_text(encoding="ascii"))
    return {
        "pairs": count,
        "refused": count - len(answered),
        "seconds": seconds,
        "server_reported": report,
        "bytes": {
            "public_keys": size_of(instance.evaluation_key.parent),
            "server_data": size_of(instance.model.weights.parent),
            "ciphertexts_upload": size_of(instance.uploads.path),
            "ciphertexts_download": size_of(instance.downloads.path),
        },
        "scores": scores,
        "cleartext_scores": clear.tolist(),
        "largest_difference": max((abs(scores[n] - clear[n]) for n in answered), default=None),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the benchmark's stages.")
    parser.add_argument("root", type=Path)
    parser.add_argument("size", type=int, choices=range(4))
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--pairs", type=int, help="default: as many as the instance has")
    given = parser.parse_args()
    instance = Instance(given.root.resolve(), given.size)
    count = given.pairs or instance.pairs
    files = sorted(f for f in given.pictures.rglob("*") if f.suffix.lower() in _PICTURES)
    if len(files) < 2 * count:
        parser.error(f"{len(files)} pictures in {given.pictures}; {count} pairs need {2 * count}")
    data = [file.read_bytes() for file in files[: 2 * count]]
    write_pairs(instance.input, list(zip(data[::2], data[1::2], strict=True)))
    try:
        print(json.dumps(drive(instance.root, given.size, count, given.weights), indent=1))
    except (RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
