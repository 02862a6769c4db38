"""The programs of the wheel: found, copied for everybody, and missed with advice."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

from whence.domain.errors import DependencyUnavailable
from whence.embedded.programs import copied_programs, installed_programs


def test_a_copy_is_made_once_and_everybody_may_run_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        programs = copied_programs(tmp_path)
    finally:
        os.umask(before)
    assert copied_programs(tmp_path) == programs
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    for path in [programs, *programs.parents[:2], *programs.parent.rglob("*")]:
        readable = 0o755 if path.is_dir() or path.parent.name == "bin" else 0o644
        assert path.is_symlink() or path.stat().st_mode & readable == readable, path
    said = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("postgres (PostgreSQL) 18.")


def test_a_missing_wheel_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DependencyUnavailable, match=r"pip install 'whence\[embedded\]'"):
        installed_programs()
