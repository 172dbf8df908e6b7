"""Stage ``client_postprocess SIZE``: the benchmark's result file. No key and no picture here."""

from __future__ import annotations

import math
from typing import Any, Final

from benchmarks.official.stages.layout import INSTANCES, Instance, read_json
from benchmarks.official.stages.program import Progress, for_instance
from fhe_core.files import FileError, shown, write_whole

#: In place of a score that was refused: the least that a cosine can be, so never a match.
REFUSED: Final = -1.0
#: Of a score that leaves the client: exact ones carry noise that depends on the secret key.
DECIMALS: Final = 3


def postprocess(instance: Instance, progress: Progress) -> None:
    """Write one score a line, rounded, in the order of the input; mode 0600.

    Raises:
        FileError: the decrypted scores are missing or damaged, or the file cannot be written.
    """
    if not instance.decrypted.is_file():
        raise FileError(f"{shown(instance.decrypted)}: missing; run client_decrypt_decode first")
    rows = read_json(instance.decrypted).get("pairs")
    if not isinstance(rows, list) or not 1 <= len(rows) <= INSTANCES[-1][1]:
        raise _damaged(instance)
    scores = [_score(instance, row) for row in rows]
    refused = sum(isinstance(row.get("refused"), str) for row in rows)
    if refused:
        progress.say(f"warning: {refused} of {len(rows)} pairs have no score; wrote {REFUSED}")
    lines = "".join(f"{score:.{DECIMALS}f}\n" for score in scores)
    write_whole(instance.predictions, lines.encode("ascii"), private=True)


def _score(instance: Instance, row: Any) -> float:
    if isinstance(row, dict):
        if isinstance(row.get("refused"), str):
            return REFUSED
        cosine = row.get("cosine")
        if isinstance(cosine, float) and math.isfinite(cosine):
            return cosine
    raise _damaged(instance)


def _damaged(instance: Instance) -> FileError:
    return FileError(f"{shown(instance.decrypted)}: damaged; run client_decrypt_decode again")


def main() -> None:
    for_instance("client_postprocess", postprocess)
