"""Files that stand in for the ones that people meant to get."""

import re
from typing import Final

_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_PAGE: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b"
)
_LOOKED_AT: Final = 4096


def impostor(data: bytes) -> str | None:
    """What a file is that should hold weights or a photo, by its first bytes, and what helps.

    "a Git LFS pointer, ..." or "a web page (HTML), ..."; None for everything else.
    """
    start = data[:_LOOKED_AT]
    if start.startswith(_POINTER):
        return "a Git LFS pointer, not the file itself: get it with git lfs pull"
    if _PAGE.match(start.lower()):
        return "a web page (HTML), not the file itself: download it again, with a browser"
    return None
