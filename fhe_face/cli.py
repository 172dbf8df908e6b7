"""The command line: all commands together, and how every one of them ends.

Options and their texts stand in fhe_face.commands, beside what the commands do. That is imported
when a command runs, so that help is quick and a server process never loads what only a client
needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, NoReturn

import typer

from fhe_core import streams
from fhe_face import guide, process
from fhe_face.bench.commands import app as bench
from fhe_face.commands import (
    authority,
    coeffs,
    device,
    exchange,
    figures,
    gallery,
    gallery_subjects,
    remote,
    remote_device,
    remote_galleries,
    serve,
    starting,
    training,
    weights,
    worker,
)

app = typer.Typer(
    name="fhe-face",
    help="Face embeddings computed under CKKS homomorphic encryption.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from fhe_face import __version__

        print(f"fhe-face {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Face embeddings computed under CKKS homomorphic encryption."""


for some in (starting, exchange, figures, training):
    app.registered_commands += some.app.registered_commands
app.command("worker", help=worker.HELP)(worker.worker)
app.command(help=gallery_subjects.ENROLL)(gallery_subjects.enroll)
app.command(help=gallery_subjects.IDENTIFY)(gallery_subjects.identify)
remote.app.add_typer(remote_galleries.app, name="gallery")
remote.app.add_typer(remote_device.app, name="device")
remote.app.command("submit", help=remote_device.SUBMIT)(remote_device.submit)
for name, group in {
    "bench": bench.app,
    "coeffs": coeffs.app,
    "weights": weights.app,
    "serve": serve.app,
    "authority": authority.app,
    "gallery": gallery.app,
    "device": device.app,
    "remote": remote.app,
}.items():
    app.add_typer(group, name=name)
guide.arrange(app)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line: errors are one line on stderr, `error: ...`, and a status.

    1: error; 2: wrong usage; 3: an unhealthy result; 130, 143, 129: interrupted, terminated, the
    terminal closed. With --json, stdout gets one JSON object with "error" and "error_type" (and
    for an unhealthy result "healthy": false and the reason).
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with process.tidy_end(), process.any_names():
        status = _run(given)
    sys.exit(status)


_INTERRUPTED = 130
# Typer brings its own copy of click, or uses the real one, depending on its version.
_USAGE_ERROR = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


@cache
def _commands() -> Any:
    """All commands, which take a tenth of a second to be made: once in a process."""
    return typer.main.get_command(app)


def _run(given: list[str]) -> int:
    """The exit status."""
    as_json = "--json" in given
    process.spare_threads()
    try:
        status = _commands().main(given, "fhe-face", standalone_mode=False)
        sys.stdout.flush()
    except BaseException as error:
        return _report(error, as_json=as_json)
    # Some versions turn an interruption into a returned status.
    if status == _INTERRUPTED:
        return _report(KeyboardInterrupt(), as_json=as_json)
    return status if isinstance(status, int) else 0


def _report(error: BaseException, *, as_json: bool) -> int:
    from fhe_face import failures
    from fhe_face.output import print_json

    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else failures.ERROR
    if isinstance(error, BrokenPipeError):  # whoever read our answer has stopped
        streams.silence_stdout()
        return streams.CLOSED_STATUS
    if type(error).__name__ == "NoArgsIsHelpError":  # typer has printed the help
        return failures.USAGE
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        failure = failures.CommandError("interrupted", failures.INTERRUPTED)
    elif isinstance(error, _USAGE_ERROR):
        failure = failures.CommandError(_usage(error), failures.USAGE)
    else:
        failures.show_traceback(error)
        failure = failures.describe(error)
    print(f"error: {failures.one_line(failure)}", file=sys.stderr)
    if as_json:
        usage = failure.status == failures.USAGE
        kind = "UsageError" if usage else type(error).__name__
        print_json({"error": str(failure), "error_type": kind, **failure.details()})
    return failure.status


def _usage(error: Any) -> str:
    text = str(error.format_message()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "fhe-face"
    return f"{text} (see {where} --help)"


if __name__ == "__main__":
    main()
