"""What the pages call steps: people read no names of the program's."""

from __future__ import annotations

import pytest

from fhe_face.places import Packing, Run
from fhe_face.studio.progress import Side, Step
from fhe_face.studio.rendering import words


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("embedding", "Computing on encrypted faces"),
        (f"embedding {Run(Packing.ALONE, 0, 1).label}", "Computing on encrypted face 1"),
        (f"embedding {Run(Packing.BATCH, 64, 3).label}", "Computing on encrypted faces 65-67"),
        ("encoding weights", "Encoding the network"),
        ("anything else", "Anything else"),
    ],
)
def test_steps_of_a_server(what: str, said: str) -> None:
    assert words(Step(Side.SERVER, what, 1, 2, 0.0)) == said
