"""Sends a file by section, slowly: ``python -m tests.service.uploader FOLDER FILE``.

Each section that it has to write is told on stdout before the first byte is written.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from fhe_face.service.opening import open_service
from fhe_face.service.rows import Room
from tests.service import kit

PIECES = 8


def main(folder: Path, file: Path) -> None:
    sent = kit.Sent.of(file)
    with open_service(folder) as service:
        part = kit.uploads(service)
        part.begin("anna", Room.GALLERY_KEYS, "mine", sent.front)
        print("begun", flush=True)
        for digest, content in sent.sections.items():
            incoming = part.receive("anna", Room.GALLERY_KEYS, "mine", digest)
            if incoming is None:
                continue
            print(digest, flush=True)
            step = max(1, len(content) // PIECES)
            for start in range(0, len(content), step):
                incoming.write(content[start : start + step])
                time.sleep(0.01)
            incoming.finish()
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
