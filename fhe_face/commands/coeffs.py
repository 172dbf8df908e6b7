"""``fhe-face coeffs``: polynomials that replace 1/√y, in files that the compiler takes.

Hooked in by ``app.add_typer(coeffs.app, name="coeffs")``; importing this module is cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhe_face.commands.options import Json

if TYPE_CHECKING:
    from rich.console import Console

    from fhe_face.coeffs.fit import Request
    from fhe_face.coeffs.fit_words import Fit

app = typer.Typer(help="Fit the polynomial that replaces 1/√y.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command(
    "fit", help="Fit a polynomial to 1/√y, on an interval or for a sample of squared norms."
)
def fit(
    interval: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="The interval of squared norms; default: that of the sample, or 100 to 3000.",
        ),
    ] = None,
    degree: Annotated[int, typer.Option(help="The degree of the polynomial, 1 to 15.")] = 2,
    method: Annotated[
        str,
        typer.Option(
            help="One of least-squares, relative-least-squares, minimax, distribution-weighted."
        ),
    ] = "least-squares",
    points: Annotated[
        int, typer.Option(help="How many evenly spaced points the least-squares methods take.")
    ] = 1000,
    newton_steps: Annotated[
        int, typer.Option("--newton-steps", help="Refinements after the polynomial, 0 to 4.")
    ] = 0,
    sample: Annotated[
        Path | None,
        typer.Option(help="Squared norms to fit: .npy, a JSON list, or a number a line."),
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Squared norms of other faces, to judge the fit on.")
    ] = None,
    margin: Annotated[
        float,
        typer.Option(help="Without --interval: the factor by which it reaches beyond the sample."),
    ] = 1.2,
    allow_outside: Annotated[
        bool, typer.Option("--allow-outside", help="Only warn about data outside the interval.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write a coefficient file.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw fit and error (.png, .svg, .pdf); needs matplotlib."),
    ] = None,
    json: Json = False,
) -> None:
    from fhe_face.coeffs.fit import Request

    request = Request(
        interval=interval,
        degree=degree,
        method=method,
        points=points,
        newton_steps=newton_steps,
        sample=sample,
        evaluation=evaluation,
        margin=margin,
        allow_outside=allow_outside,
        output=output,
        plot=plot,
    )
    run(request, json)


def run(request: Request, as_json: bool) -> None:
    from fhe_face.coeffs.fit import perform
    from fhe_face.failures import one_line
    from fhe_face.output import Output

    output = Output(as_json)
    done = perform(request)
    for warning in done.warnings:
        output.warn(one_line(ValueError(warning)))
    output.answer(done.to_json(), lambda console: _show(console, done))


def _show(console: Console, done: Fit) -> None:
    from fhe_face.output import facts

    console.print(facts("Normalisation", done.rows()))
