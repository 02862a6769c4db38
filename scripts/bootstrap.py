"""Set the checkout's environment up in `.venv`, from the lock files alone.

Runs on a stock Debian `python3` (no ensurepip needed) with the standard library only. Uses `uv` where it is
installed, else a virtual environment whose packages pip installs with hashes. A second run with unchanged lock
files does nothing. Arguments: `--dev` adds the tools that tests and checks use.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".whence-set-up"
OLDEST_PYTHON = (3, 11)


def main() -> None:
    """Bring `.venv` to the state that the lock files describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also the tools for tests and checks")
    wanted_lock = ROOT / ("requirements-dev.lock" if parser.parse_args().dev else "requirements.lock")
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Whence needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    # A development environment holds all that the plain one needs: never shrink it.
    state = {lock.name: fingerprint(lock) for lock in (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")}
    if (
        PYTHON.exists()
        and STAMP.exists()
        and STAMP.read_text() in (state[wanted_lock.name], state["requirements-dev.lock"])
    ):
        return
    print(f"setting up {VENV.name} from {wanted_lock.name} …", file=sys.stderr, flush=True)
    STAMP.unlink(missing_ok=True)
    uv = shutil.which("uv")
    install = with_uv(uv) if uv else with_pip()
    install(["--require-hashes", "-r", str(wanted_lock)])
    install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    STAMP.write_text(state[wanted_lock.name])


def fingerprint(lock: Path) -> str:
    """A digest of everything that decides what the environment holds: the lock, the project file, Python, the place."""
    digest = hashlib.sha256()
    for part in (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode(), str(ROOT).encode()):
        digest.update(hashlib.sha256(part).digest())
    return f"{lock.name} {digest.hexdigest()}"


def with_uv(uv: str) -> Callable[[list[str]], None]:
    """An installer that uses the `uv` at hand."""
    if not PYTHON.exists():
        run([uv, "venv", "--quiet", "--python", sys.executable, str(VENV)])
    return lambda arguments: run([uv, "pip", "install", "--quiet", "--python", str(PYTHON), *arguments])


def with_pip() -> Callable[[list[str]], None]:
    """An installer that uses the system's pip on a virtual environment without one (Debian ships no ensurepip)."""
    if not PYTHON.exists():
        run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
    return lambda arguments: run([*pip(), "install", "--quiet", *arguments])


def pip() -> list[str]:
    """The command of a pip that works on our environment."""
    return [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check"]


def run(command: list[str]) -> None:
    """Run a step; leave with its exit code and a hint if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    if done.returncode:
        print(f"failed: {' '.join(command)}", file=sys.stderr)
        print(
            "Set-up needs Python 3.11 with pip (Debian: apt-get install python3-pip) and a package index.",
            file=sys.stderr,
        )
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
