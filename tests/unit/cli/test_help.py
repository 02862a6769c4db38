"""The help page is light: nothing that a command needs is imported before the command is called."""

import subprocess
import sys

HEAVY = {"pydantic", "psycopg", "fastapi", "starlette", "granian", "numpy", "rich", "msgspec", "structlog", "aiosql"}


_CODE = """
import sys
from whence.cli.main import main
sys.argv = ["whence", "--help"]
try:
    main()
except SystemExit:
    print(*sys.modules)
"""


def test_the_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", _CODE], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: whence")
    assert HEAVY & {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()} == set()
