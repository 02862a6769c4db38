"""What commands print: answers on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Sequence


def answer(document: object) -> None:
    """Print a command's one JSON document (`--json`)."""
    say(json.dumps(document, ensure_ascii=False))


def say(line: str = "") -> None:
    """Print a line of a command's answer for people, at once even into a pipe."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells as columns, each as wide as its widest cell."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def printable(text: str) -> str:
    """Text that came from clients, so that nothing in it steers a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def progress(line: str) -> None:
    """Tell what is going on, on stderr."""
    sys.stderr.write(line + "\n")


def complain(message: str) -> None:
    """Print an error on stderr."""
    sys.stderr.write(f"whence: {message}\n")
