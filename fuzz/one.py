"""Fuzzes one target with atheris: ``python -m fuzz.one TARGET SCRATCH FINDINGS SECONDS CORPUS...``.

libFuzzer ends the process at the first finding and leaves the input in the folder FINDINGS. New
inputs go to the first CORPUS.
"""

from __future__ import annotations

import random
import resource
import sys
from pathlib import Path

import atheris

#: Packages whose branches guide the search.
_OURS = ["fhe_core", "fhe_face", "models", "coeffs"]
#: More than a target needs to work, and too little for an input that asks for gigabytes.
MEMORY_BYTES = 3 << 30
#: Beyond that, an input counts as a hang.
HANG_SECONDS = 20
#: Inputs that libFuzzer changes byte by byte; our own mutations may make larger ones.
_BLIND_SHARE = 0.3


def main() -> None:
    name, scratch, findings, seconds, *corpora = sys.argv[1:]
    with atheris.instrument_imports(include=_OURS):
        from fuzz.registry import make
        from fuzz.target import accepts

        target = make(name, Path(scratch))
    for number, seed in enumerate(target.seeds):
        Path(corpora[0], f"seed-{number}").write_bytes(seed)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))

    def check(data: bytes) -> None:
        accepts(target, data)

    def mutate(data: bytes, size: int, seed: int) -> bytes:
        draw = random.Random(seed)
        if draw.random() < _BLIND_SHARE:
            return bytes(atheris.Mutate(data, size))
        return target.mutate(data, draw)[:size]

    options = [
        f"-max_total_time={seconds}",
        f"-timeout={HANG_SECONDS}",
        f"-max_len={max(1 << 16, *(2 * len(seed) for seed in target.seeds))}",
        f"-artifact_prefix={findings}/",
        "-rss_limit_mb=6000",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, *corpora], check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
