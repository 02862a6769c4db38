"""The set-up of a checkout, with stand-ins for `uv` and `pip` that write down what they are asked."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INTERPRETER = getattr(sys, "_base_executable", sys.executable)
SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "bootstrap.py"

_UV = """#!/bin/sh
echo "$@" >> "{calls}"
for last; do :; done
if [ "$1" = venv ]; then mkdir -p "$last/bin" && ln -sf "{python}" "$last/bin/python"; fi
exit ${{UV_FAILS:-0}}
"""

_PIP = """
import os, sys
if "--version" in sys.argv:
    print(os.environ["PIP_IS"])
else:
    open({calls!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
"""


class Checkout:
    """A copy of what the script needs, in a folder with a space, with a PATH that holds nothing else."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a checkout"
        self.programs = folder / "programs"
        self.calls = folder / "calls"
        (self.root / "scripts").mkdir(parents=True)
        self.programs.mkdir()
        shutil.copy(SCRIPT, self.root / "scripts")
        for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
            (self.root / name).write_text(f"{name} of old\n")

    def add_uv(self) -> None:
        """Put a `uv` on the PATH."""
        uv = self.programs / "uv"
        uv.write_text(_UV.format(calls=self.calls, python=sys.executable))
        uv.chmod(0o755)

    def add_pip(self) -> None:
        """Let Python find a `pip`."""
        (self.programs / "pip").mkdir()
        (self.programs / "pip" / "__init__.py").touch()
        (self.programs / "pip" / "__main__.py").write_text(_PIP.format(calls=str(self.calls)))

    def set_up(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        path = f"{self.programs}:/usr/bin:/bin" if (self.programs / "uv").exists() else str(self.programs)
        return subprocess.run(
            [sys.executable, str(self.root / "scripts" / "bootstrap.py"), *words],
            env={"PATH": path, "PYTHONPATH": str(self.programs), "PIP_IS": "pip 23.0.1 from somewhere", **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    def new_calls(self) -> list[str]:
        """What uv or pip was asked since the last look."""
        if not self.calls.exists():
            return []
        lines = self.calls.read_text().splitlines()
        self.calls.unlink()
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_uv_makes_the_environment_from_the_lock_with_hashes(checkout: Checkout) -> None:
    checkout.add_uv()
    assert checkout.set_up().returncode == 0
    root, python = checkout.root, checkout.root / ".venv" / "bin" / "python"
    assert checkout.new_calls() == [
        f"venv --quiet --python {INTERPRETER} {root / '.venv'}",
        f"pip install --quiet --python {python} --require-hashes -r {root / 'requirements.lock'}",
        f"pip install --quiet --python {python} --no-deps --no-build-isolation -e {root}",
    ]


def test_a_second_run_does_nothing_until_a_lock_changes(checkout: Checkout) -> None:
    checkout.add_uv()
    checkout.set_up()
    checkout.new_calls()
    assert checkout.set_up().stderr == ""
    assert checkout.new_calls() == []
    (checkout.root / "requirements.lock").write_text("new\n")
    checkout.set_up()
    assert [call.split()[0] for call in checkout.new_calls()] == ["pip", "pip"]


def test_the_tools_are_added_once_and_stay(checkout: Checkout) -> None:
    checkout.add_uv()
    checkout.set_up()
    checkout.new_calls()
    checkout.set_up("--dev")
    assert "requirements-dev.lock" in checkout.new_calls()[0]
    checkout.set_up()
    assert checkout.new_calls() == []


def test_an_interrupted_set_up_is_done_again(checkout: Checkout) -> None:
    checkout.add_uv()
    failed = checkout.set_up(UV_FAILS="7")
    assert failed.returncode == 7
    assert "failed: " in failed.stderr
    checkout.new_calls()
    assert checkout.set_up().returncode == 0
    assert len(checkout.new_calls()) == 2


def test_an_environment_that_was_moved_here_is_made_anew(checkout: Checkout, tmp_path: Path) -> None:
    checkout.add_uv()
    checkout.set_up()
    checkout.root = checkout.root.rename(tmp_path / "moved here")
    checkout.new_calls()
    checkout.set_up()
    assert checkout.new_calls()[0].startswith("venv --quiet")


def test_without_uv_the_systems_pip_fills_an_environment_that_has_none(checkout: Checkout) -> None:
    checkout.add_pip()
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    python = checkout.root / ".venv" / "bin" / "python"
    assert os.access(python, os.X_OK)
    pip = f"--python {python} --disable-pip-version-check install --quiet"
    assert checkout.new_calls() == [
        f"{pip} --require-hashes -r {checkout.root / 'requirements.lock'}",
        f"{pip} --no-deps --no-build-isolation -e {checkout.root}",
    ]


def test_an_old_pip_is_refused_with_the_way_out(checkout: Checkout) -> None:
    checkout.add_pip()
    done = checkout.set_up(PIP_IS="pip 20.3.4 from somewhere")
    assert done.returncode == 1
    assert "pip 20.3 is too old: set-up needs pip 22.3 or newer, or uv" in done.stderr
    assert not (checkout.root / ".venv").exists()


def test_neither_uv_nor_pip_says_what_to_install(checkout: Checkout) -> None:
    (checkout.programs / "pip.py").write_text("raise SystemExit(1)")
    done = checkout.set_up()
    assert done.returncode == 1
    assert "apt-get install python3-pip" in done.stderr
