"""The error of images. Apart, so that who only reports it loads no decoder."""

from fhe_core.errors import Failure


class ImageError(Failure, ValueError):
    """An image that cannot be used; the text names the file and says what would be right."""

    code = "image"

    def __init__(self, path: object, problem: str) -> None:
        """`path`: the file (or what the array is called); `problem`: what is wrong with it."""
        super().__init__(f"{path}: {problem}")
        self._arguments = (path, problem)

    def __reduce__(self) -> tuple[type, tuple[object, str]]:
        # Process pools send errors between processes.
        return type(self), self._arguments
