"""The `whence` program: commands are one file per group, and nothing heavy is imported before one is called."""

import sys

import typer

from whence import __version__
from whence.cli import console
from whence.domain.errors import DependencyUnavailable, InvalidInput, WhenceError

app = typer.Typer(
    name="whence",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Real-time recommendations with reasons. Every command takes --json; exit codes: 0 done, 1 the answer is bad, "
    "2 wrong use, 3 something that is needed cannot be reached.",
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="print the version and leave")) -> None:
    """Show the version if asked."""
    if version:
        print(__version__)  # noqa: T201  # the answer of a command
        raise typer.Exit


def main() -> None:
    """Run a command; our own errors become one message and the exit code of the contract, never a traceback."""
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # the one place where errors become exit codes
        sys.exit(_exit_code(error))


def _exit_code(error: Exception) -> int:
    """Say what went wrong on stderr; the exit code of its family. What is not ours keeps its traceback."""
    if isinstance(error, InvalidInput):
        for problem in error.problems:
            console.complain(f"{problem.field}: {problem.problem}" if problem.field else problem.problem)
        return 2
    if isinstance(error, DependencyUnavailable):
        console.complain(str(error))
        return 3
    if isinstance(error, WhenceError):
        console.complain(str(error))
        return 1
    raise error


if __name__ == "__main__":
    main()
