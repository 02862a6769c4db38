"""Set the checkout's environment up in `.venv`, from the lock files alone.

Runs on a stock Debian `python3` (no ensurepip needed, externally managed or not) with the standard library only. Uses
`uv` where it is installed, else a virtual environment whose packages the system's pip installs with hashes. A second
run with unchanged lock files does nothing. Arguments: `--dev` adds the tools that tests and checks use.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".whence-set-up"
LOCKS = ("requirements.lock", "requirements-dev.lock")
INTERPRETER: str = getattr(sys, "_base_executable", None) or sys.executable  # the system's, even if `.venv` is active
OLDEST_PYTHON = (3, 11)
OLDEST_PIP = (22, 3)  # the first with `--python`

Install = Callable[[list[str]], None]


def main() -> None:
    """Bring `.venv` to the state that the lock files describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also the tools for tests and checks")
    plain, dev = (ROOT / name for name in LOCKS)
    lock = dev if parser.parse_args().dev else plain
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f"Whence needs Python 3.11 or newer; {INTERPRETER} is {sys.version.split()[0]}.")
    # A development environment holds all that the plain one needs: never shrink it.
    if PYTHON.exists() and stamped() in ([home(), fingerprint(lock)], [home(), fingerprint(dev)]):
        return
    print(f"setting up {VENV.name} from {lock.name} …", file=sys.stderr, flush=True)
    uv = shutil.which("uv")
    install = with_uv(uv) if uv else with_pip()
    install(["--require-hashes", "-r", str(lock)])
    install(["--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    STAMP.write_text(f"{home()}\n{fingerprint(lock)}\n", encoding="utf-8")


def home() -> str:
    """What an environment is bound to: this Python, and this place, which its scripts name."""
    return hashlib.sha256(f"{sys.version} {sys.base_prefix} {ROOT}".encode()).hexdigest()


def fingerprint(lock: Path) -> str:
    """A digest of what decides which packages the environment holds: the lock and the project file."""
    digest = hashlib.sha256()
    for part in (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes()):
        digest.update(hashlib.sha256(part).digest())
    return f"{lock.name} {digest.hexdigest()}"


def stamped() -> list[str]:
    """What the environment's last set-up left: its home and, if it was finished, its fingerprint."""
    return STAMP.read_text(encoding="utf-8").splitlines() if STAMP.exists() else []


def make_environment(command: list[str], again: str) -> None:
    """Make the environment unless there is one that we can go on with; *again* is the option that replaces one."""
    before = stamped()
    if not PYTHON.exists() or (before and before[0] != home()):
        run([*command, *([again] if VENV.exists() else []), str(VENV)])
    STAMP.write_text(f"{home()}\n", encoding="utf-8")


def with_uv(uv: str) -> Install:
    """An installer that uses the `uv` at hand."""
    make_environment([uv, "venv", "--quiet", "--python", INTERPRETER], "--clear")
    return lambda arguments: run([uv, "pip", "install", "--quiet", "--python", str(PYTHON), *arguments])


def with_pip() -> Install:
    """An installer that uses the system's pip on an environment without one (Debian ships no ensurepip)."""
    check_pip()
    make_environment([INTERPRETER, "-m", "venv", "--without-pip"], "--clear")
    pip = [INTERPRETER, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check"]
    return lambda arguments: run([*pip, "install", "--quiet", *arguments])


def check_pip() -> None:
    """Leave with advice if the system's pip is missing or cannot install into another environment."""
    command = [INTERPRETER, "-m", "pip", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.match(r"pip (\d+)\.(\d+)", said)
    if found is None:
        sys.exit(f"{INTERPRETER} has no pip, and there is no uv. Debian: apt-get install python3-pip")
    if (int(found[1]), int(found[2])) < OLDEST_PIP:
        sys.exit(
            f"{found[0]} is too old: set-up needs pip 22.3 or newer, or uv. "
            f"{INTERPRETER} -m pip install --user --upgrade pip"
        )


def run(command: list[str]) -> None:
    """Run a step; leave with its exit code and a hint if it fails."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        print(f"failed: {' '.join(command)}", file=sys.stderr)
        print("Set-up needs a package index to download from; run it again when there is one.", file=sys.stderr)
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
