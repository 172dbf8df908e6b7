"""What a file is, by its first bytes: pictures, and what is often met in their place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

#: Formats that are read, for messages.
TAKEN: Final = "PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or PPM"
#: Their usual names; a file with another one is looked into (`is_picture`).
_SUFFIXES: Final = re.compile(r"\.(a?png|jpe?g|jpe|jfif|mpo|bmp|dib|gif|tiff?|webp|avif|p[bgpn]m)")
#: So many bytes are looked at.
HEAD: Final = 256

_MAGIC: Final = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|BM.{12}|GIF8[79]a|II\*\0|MM\0\*|RIFF.{4}WEBP", re.DOTALL
)
_AS_JPEG: Final = "save it as JPEG"
_PHONE: Final = f"{_AS_JPEG} (iPhone: Settings, Camera, Formats, Most Compatible)"
_HEIF_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_RAW_SUFFIXES: Final = re.compile(
    r"\.(dng|nef|nrw|arw|srf|sr2|cr[23]|orf|rw2|raf|pef|srw|3fr|iiq|kdc|dcr)"
)
_RAW: Final = re.compile(rb"II\*\0.{4}CR|FUJIFILMCCD-RAW|IIR[OS]|IIU\0|MMOR", re.DOTALL)
_UNSUPPORTED: Final = (
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"8BPS"), "a Photoshop file"),
    (re.compile(rb"\x76\x2f\x31\x01"), "OpenEXR"),
    (re.compile(rb"\x00\x00\x01\x00[\x01-\xff]\x00"), "an icon"),
    (re.compile(rb"%PDF-"), "a PDF document"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<svg[\s>]", re.DOTALL), "SVG"),
)
_WEB_PAGE: Final = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)[\s>]", re.I)
_POINTER: Final = b"version https://git-lfs.github.com/spec/"


def refusal(head: bytes, suffix: str) -> str | None:
    """Why a file with these first bytes is no picture that is read; None where it may be one.

    suffix: of its name, such as ".dng": camera raw files begin as TIFF does.
    """
    if head.startswith(_POINTER):
        return "is a Git LFS pointer, not the picture itself: `git lfs pull` fetches it"
    if _WEB_PAGE.match(head):
        return "is a web page (HTML), not a picture: download it again"
    name = _unsupported(head, suffix)
    if name is None:
        return None
    advice = _PHONE if name == "HEIC" else _AS_JPEG
    return f"is {name}, which is not supported; {advice}"


def is_picture(file: Path) -> bool:
    """Whether a file is a picture by its name or its first bytes, supported or not."""
    suffix = file.suffix.lower()
    if _SUFFIXES.fullmatch(suffix) or _RAW_SUFFIXES.fullmatch(suffix):
        return True
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError:
        return False
    return bool(_MAGIC.match(head) or _brands(head) & _AVIF_BRANDS) or _photo_of_phone(head)


def is_avif(head: bytes) -> bool:
    """By the brands of its first box."""
    return bool(_brands(head) & _AVIF_BRANDS)


def _photo_of_phone(head: bytes) -> bool:
    return _unsupported(head, "") in ("HEIC", "JPEG XL", "JPEG 2000", "camera raw")


def _unsupported(head: bytes, suffix: str) -> str | None:
    brands = _brands(head)
    if _RAW.match(head) or b"crx " in brands:
        return "camera raw"
    if _RAW_SUFFIXES.fullmatch(suffix) and head.startswith((b"II", b"MM")):
        return "camera raw"
    if brands and not brands & _AVIF_BRANDS:
        return "HEIC" if brands & _HEIF_BRANDS else "a video"
    return next((name for magic, name in _UNSUPPORTED if magic.match(head)), None)


def _brands(head: bytes) -> frozenset[bytes]:
    """The brands of an ISO media file (HEIC, AVIF, MP4); empty for others."""
    if head[4:8] != b"ftyp":
        return frozenset()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return frozenset(head[start : start + 4] for start in (8, *range(16, end - 3, 4)))
