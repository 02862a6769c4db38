"""The state folder: one holder, files for the owner alone, nothing of others deleted."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from whence.domain.errors import InvalidInput
from whence.embedded.state import Part, StateFolder

_HOLDER = """
import sys, time
from pathlib import Path
from whence.embedded.state import StateFolder
state = StateFolder(Path(sys.argv[1]))
state.hold()
print("held", flush=True)
time.sleep(600)
"""


def test_another_process_is_told_who_holds_it_until_that_ends(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(state.path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            assert state.holder() == holder.pid
            with pytest.raises(InvalidInput, match=f"in use by process {holder.pid}"):
                state.hold()
        finally:
            holder.kill()
    assert state.holder() is None
    state.hold()
    assert state.holder() == os.getpid()
    state.let_go()
    assert state.holder() is None


def test_parts_and_endpoints_are_for_the_owner_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.hold()
    part = Part("ingest", 7, 8, 7071, "http://127.0.0.1:7071", "2026-01-01T00:00:00Z")
    state.write_parts([part])
    state.write_endpoints({"database_url": "postgresql://u:hush@h/d", "cache_url": None})
    assert state.parts() == [part]
    assert state.endpoints() == {"database_url": "postgresql://u:hush@h/d", "cache_url": None}
    assert stat.S_IMODE((state.path / "endpoints.json").stat().st_mode) == 0o600
    state.forget_parts()
    assert (state.parts(), state.endpoints()) == ([], None)
    state.let_go()


def test_endpoints_of_a_killed_supervisor_do_not_count(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.hold()
    state.write_endpoints({"ingest": "http://127.0.0.1:7071"})
    state.let_go()
    assert state.endpoints() is None


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_broken_files_count_as_absent(tmp_path: Path, content: str) -> None:
    state = StateFolder(tmp_path / "state")
    state.hold()
    (state.path / "endpoints.json").write_text(content)
    (state.path / "parts.json").write_text(content)
    assert (state.endpoints(), state.parts()) == (None, [])
    state.let_go()


def test_removing_leaves_what_is_not_ours(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.make()
    (state.logs / "ingest.log").touch()
    (tmp_path / "letters").mkdir()
    state.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_a_folder_that_cannot_be_made_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"cannot write .*; choose another"):
        StateFolder(tmp_path / "file" / "state").make()
