"""What can go wrong with the inputs of training."""


class TrainingError(ValueError):
    """Data, options or files that cannot be trained with; the text says what would be right."""
