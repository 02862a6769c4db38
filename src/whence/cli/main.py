"""The `whence` program: commands are one file per group, and nothing heavy is imported before one is called."""

import difflib
import importlib
import os
import sys

import typer
from typer._click.exceptions import NoArgsIsHelpError, UsageError

from whence import __version__
from whence.cli import console
from whence.domain.errors import DependencyUnavailable, InvalidInput, WhenceError

GROUPS = (
    "up",
    "demo",
    "serve",
    "recommend",
    "weights",
    "events",
    "importing",
    "dead_letters",
    "reconcile",
    "rebuild",
    "refine",
    "evaluate",
    "admin",
    "doctor",
    "kafka",
)
"""The modules that hold commands, in the order in which the help lists them."""

app = typer.Typer(
    name="whence",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Real-time recommendations with reasons. Every command takes --json; exit codes: 0 done, 1 the answer is bad, "
    "2 wrong use, 3 something that is needed cannot be reached.",
)

for group in GROUPS:
    importlib.import_module(f"whence.cli.{group}").register(app)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="print the version and leave")
) -> None:
    """Show the version if asked, the help if nothing was."""
    if version:
        console.say(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        console.progress(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Run a command; our own errors become one message and the exit code of the contract, never a traceback."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our answer has enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _run() -> int:
    try:
        # Typer gives the code of an Exit back; commands themselves return nothing.
        left = app(prog_name="whence", standalone_mode=False)
    except typer.Abort:
        console.complain("not done")
        return 1
    except KeyboardInterrupt:
        return 130
    except NoArgsIsHelpError as error:
        console.progress(error.format_message())
        return 2
    except typer.TyperException as error:
        console.complain(_wrong_use(error))
        return 2
    except WhenceError as error:
        return _exit_code(error)
    return left if isinstance(left, int) else 0


def _wrong_use(error: typer.TyperException) -> str:
    """One line that names the wrong word, what would be right, and where to read on."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    message = message if message.endswith((".", "?")) else f"{message}."
    context = error.ctx if isinstance(error, UsageError) else None
    if context is None:
        return message
    if message.startswith("No such command") and isinstance(context.command, typer.core.TyperGroup):
        message += _known_commands(message, list(context.command.commands))
    return f"{message} See `{context.command_path} --help`."


def _known_commands(message: str, names: list[str]) -> str:
    """The commands there are, unless the message suggests one already."""
    word = message.split("'")[1]
    near = difflib.get_close_matches(word, names)
    return "" if near else f" There are: {', '.join(names)}."


def _exit_code(error: WhenceError) -> int:
    """Say what went wrong on stderr; the exit code of its family."""
    if isinstance(error, InvalidInput):
        for problem in error.problems:
            console.complain(f"{problem.field}: {problem.problem}" if problem.field else problem.problem)
        return 2
    console.complain(str(error))
    return 3 if isinstance(error, DependencyUnavailable) else 1


if __name__ == "__main__":
    main()
