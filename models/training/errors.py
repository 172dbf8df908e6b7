"""What can go wrong with the inputs of training."""

from fhe_core.errors import Failure
from fhe_core.files import one_line


class TrainingError(Failure, ValueError):
    """Data, options or files that cannot be trained with; the text says what would be right."""

    code = "training"

    def __init__(self, text: str) -> None:
        """`text` may quote a file: what cannot be printed is escaped."""
        super().__init__(one_line(text))
