"""Where root's servers lie: a place for each state folder, never somebody else's data."""

import os
from pathlib import Path

import pytest

from whence.domain.errors import InvalidInput
from whence.embedded import place as module
from whence.embedded.place import abandoned_places, find_place, make_place


@pytest.fixture
def as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as root does, in a folder of the test, without changing owners."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(module, "ROOTS_FOLDER", tmp_path / "var")


@pytest.mark.usefixtures("as_root")
def test_a_folder_keeps_its_place_even_when_it_is_moved(tmp_path: Path) -> None:
    place = make_place(tmp_path / "state")
    assert make_place(tmp_path / "state") == place
    (tmp_path / "state").rename(tmp_path / "moved")
    assert abandoned_places() == [place.folder]
    assert make_place(tmp_path / "moved") == place
    assert abandoned_places() == []


@pytest.mark.usefixtures("as_root")
def test_a_new_folder_at_an_old_path_begins_anew(tmp_path: Path) -> None:
    old = make_place(tmp_path / "state")
    (tmp_path / "state").rename(tmp_path / "moved")
    new = make_place(tmp_path / "state")
    assert new.folder != old.folder
    assert find_place(tmp_path / "moved") == old
    assert abandoned_places() == [old.folder]


@pytest.mark.usefixtures("as_root")
def test_a_removed_place_is_gone(tmp_path: Path) -> None:
    place = make_place(tmp_path / "state")
    place.remove()
    assert find_place(tmp_path / "state") is None
    assert abandoned_places() == []


@pytest.mark.usefixtures("as_root")
def test_a_pointer_to_somewhere_else_is_not_followed(tmp_path: Path) -> None:
    make_place(tmp_path / "state")
    (tmp_path / "precious").mkdir()
    (tmp_path / "state" / "place").write_text(f"{tmp_path / 'precious'}\n")
    assert find_place(tmp_path / "state") is None


def test_sockets_have_short_paths_however_deep_the_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    folder = tmp_path.joinpath(*["deep"] * 40)
    folder.mkdir(parents=True)
    place = find_place(folder)
    assert place is not None
    assert len(os.fsencode(place.sockets / ".s.PGSQL.5432.lock")) <= 107


def test_a_socket_folder_that_somebody_else_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "trap"
    trap.symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="belongs to somebody else"):
        module._make_private_folder(trap)
