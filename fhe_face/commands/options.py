"""Options that several commands have, each with one name and one text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

#: Of memory, more than any machine has.
_MOST_GIGABYTES = 10**9

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=1024, help="Threads; default: one per processor."),
]
NewFolder = Annotated[Path, typer.Argument(help="A new folder.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Weights = Annotated[
    Path,
    typer.Option(
        "--weights",
        metavar="official|bundled|FILE",
        help="The network: the published one, the bundled demonstration, or a file.",
    ),
]
#: By its name: fhe_face.network.weights_file, which is costly to import, says which file it is.
DEFAULT_WEIGHTS = Path("bundled")
PredictedWeights = Annotated[
    Path | None,
    typer.Option("--weights", help="Predict the precision of this network too, on a drawn face."),
]
Key = Annotated[Path, typer.Option("--key", help="The secret client.key.")]
Keys = Annotated[Path, typer.Option("--keys", help="The client's evaluation.key.")]
Flip = Annotated[
    bool, typer.Option("--flip", help="Average with the embedding of the mirror image.")
]
Batch = Annotated[bool, typer.Option("--batch", help="For batches of many faces.")]
ClientNormalises = Annotated[
    bool,
    typer.Option(
        "--client-normalises",
        help="Embeddings leave the server as they are: less work, exact norms, no encrypted score.",
    ),
]
Coefficients = Annotated[
    Path | None,
    typer.Option(
        "--coefficients",
        help="The normalisation's file, from fhe-face coeffs fit; default: the built-in quadratic.",
    ),
]
FACE_SIZE_HELP = "Side of the faces: 64, 96 or 128 (CryptoFaceNet4, 9, 16)."
MaybeFaceSize = Annotated[int | None, typer.Option("--size", help=FACE_SIZE_HELP)]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", help="A file whose one line is the passphrase of the secret key."
    ),
]
Resize = Annotated[
    bool, typer.Option("--resize", help="Scale the whole picture instead of looking for a face.")
]
Whole = Annotated[
    bool, typer.Option("--whole", help="Take the whole picture of a photo without a face.")
]

TrainData = Annotated[
    Path, typer.Argument(help="Photos, one folder for each person; or an InsightFace .bin.")
]
TrainOut = Annotated[
    Path, typer.Option("--out", help="The folder of the run; a run that stopped goes on from it.")
]
TrainPlot = Annotated[
    Path | None, typer.Option("--plot", help="Draw the curves; needs matplotlib.")
]
Aligned = Annotated[bool, typer.Option("--aligned", help="The images are aligned crops already.")]
Rate = Annotated[float, typer.Option(help="Highest learning rate.")]
Seed = Annotated[
    int,
    typer.Option("--seed", help="The seed of all random choices; equal seeds give equal weights."),
]
HeldOut = Annotated[
    int | None,
    typer.Option(
        "--held-out",
        help="How many people are only validated on; 0: none. Default: 10, fewer of few people.",
    ),
]
Half = Annotated[bool, typer.Option("--half", help="Compute in bfloat16.")]
Compiled = Annotated[bool, typer.Option("--compiled", help="Use torch.compile.")]
Device = Annotated[str, typer.Option("--device", help="Where to compute: cpu, or cuda.")]


def gigabytes(option: str, given: float | None) -> int | None:
    """GB of an option as bytes. UsageError: no number, or more than any machine has."""
    from fhe_face.failures import UsageError

    if given is None:
        return None
    if not given <= _MOST_GIGABYTES:
        raise UsageError(f"{option} is {given}; give GB, at most {_MOST_GIGABYTES:,}")
    return int(given * 10**9)
