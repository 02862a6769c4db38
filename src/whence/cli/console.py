"""What commands print: answers on stdout, everything else on stderr."""

import json
import sys


def answer(document: object) -> None:
    """Print a command's one JSON document (`--json`)."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def say(line: str = "") -> None:
    """Print a line of a command's answer for people."""
    sys.stdout.write(line + "\n")


def progress(line: str) -> None:
    """Tell what is going on, on stderr."""
    sys.stderr.write(line + "\n")


def complain(message: str) -> None:
    """Print an error on stderr."""
    sys.stderr.write(f"whence: {message}\n")
