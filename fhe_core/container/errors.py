"""What can be wrong with a container: every error is one line that names the file."""

from __future__ import annotations

from fhe_core.errors import Failure
from fhe_core.files import FileError, one_line


class ContainerError(Failure, ValueError):
    """The base of all container errors; the text is one line that names the file."""

    code = "container"

    def __init__(self, text: str) -> None:
        """`text` may quote the file: what cannot be printed is escaped."""
        super().__init__(one_line(text))


class NotAContainer(ContainerError):
    """The file does not start with the container's magic bytes."""

    code = "not-a-container"


class UnsupportedVersion(ContainerError):
    """The file has a format version that this software does not read."""

    code = "unsupported-version"


class WrongKind(ContainerError):
    """The file is a container of another kind than the one expected."""

    code = "wrong-kind"


class Truncated(ContainerError):
    """The file ends before what its header promises."""

    code = "truncated"


class Corrupt(ContainerError):
    """The content contradicts a digest, the header's rules, or the expected arrays."""

    code = "corrupt"


class TooLarge(ContainerError):
    """The file, its header or its number of sections is over the limit."""

    code = "too-large"


class ParameterMismatch(ContainerError):
    """The file was made with other encryption parameters."""

    code = "parameter-mismatch"


class KeyMismatch(ContainerError):
    """The file belongs to another key."""

    code = "key-mismatch"


class AccessError(ContainerError, FileError):
    """The file cannot be opened, read or written (missing, permission, folder, disk full...)."""

    code = "access"
