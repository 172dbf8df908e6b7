"""Target: verification sets, which are pickles that are never unpickled."""

from __future__ import annotations

import pickle
from pathlib import Path

from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.verification import read_pairs
from fuzz.mutators import mutate_bytes
from fuzz.target import Scratch, Target


def pickled_pairs_target(folder: Path) -> Target:
    scratch = Scratch(folder, "lfw.bin")
    content = ([b"\xff\xd8a", b"b" * 300, b"c", b"b"], [True, False])
    seeds = [pickle.dumps(content, protocol) for protocol in (3, 4, 5)]

    def parse(data: bytes) -> None:
        read_pairs(scratch.holding(data))

    return Target("pickled-pairs", parse, (TrainingError,), seeds, mutate_bytes)
