"""Where an embedded server's files lie, and as whom it runs.

An ordinary user's data lie in the state folder itself. PostgreSQL refuses to run as root, so root's data lie in
`/var/lib/whence/<hash of the folder>`, owned by an unprivileged user, and the state folder names that place. Sockets
lie in a short path of their own, because the path of a Unix socket ends at 107 bytes.
"""

import hashlib
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from whence.domain.errors import FieldProblem, InvalidInput

ROOTS_FOLDER = Path("/var/lib/whence")
"""What root's embedded servers keep; closed folders in it belong to the unprivileged user."""

UNPRIVILEGED_USER = "nobody"
"""Who the server runs as when root starts it. `initdb` needs a user that the system knows by name."""

_POINTER = "place"
_OWNER = "owner"
_PLACES_MAX = 1000
"""So many folders of one path's hash are tried; each belongs to a state folder that has been moved or deleted."""


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one embedded server.

    Attributes:
        folder: Holds the rest; ours.
        sockets: The server's socket folder; short, closed to others.
        user: The unprivileged user's name, or None to run as we are.
    """

    folder: Path
    sockets: Path
    user: str | None

    @property
    def data(self) -> Path:
        """The server's data; its own."""
        return self.folder / "data"

    def make_owned_folder(self, path: Path) -> None:
        """Make a folder that only the server's user may enter."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.user is not None:
            user = pwd.getpwnam(self.user)
            os.chown(path, user.pw_uid, user.pw_gid)
        path.chmod(0o700)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.sockets, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def find_place(folder: Path) -> Place | None:
    """The place that *folder* already uses, or None."""
    if os.geteuid() != 0:
        return _users_place(folder) if folder.is_dir() else None
    pointer = folder / _POINTER
    if not pointer.is_file():
        return None
    place = Path(pointer.read_text(encoding="utf-8").strip())
    # Anybody who may write to the state folder may write the pointer; we delete nothing elsewhere because of it.
    return _roots_place(place) if place.is_dir() and place.parent == ROOTS_FOLDER else None


def make_place(folder: Path) -> Place:
    """The place for *folder*, made if it has none.

    Raises:
        InvalidInput: If the folders cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = find_place(folder) or (_new_roots_place(folder) if os.geteuid() == 0 else _users_place(folder))
        if place.user is None:
            _make_private_folder(place.sockets.parent)
        else:
            (place.folder / _OWNER).write_text(f"{folder.resolve()}\n", encoding="utf-8")
        place.make_owned_folder(place.sockets)
    except OSError as error:
        problem = f"cannot write {error.filename or folder}: {error.strerror}; choose another --state"
        raise InvalidInput([FieldProblem("state", problem)]) from error
    return place


def abandoned_places() -> list[Path]:
    """Root's places whose owner, the folder that they were last used for, does not name them: moved or deleted."""
    return [
        owner.parent
        for owner in sorted(ROOTS_FOLDER.glob(f"*/{_OWNER}"))
        if find_place(Path(owner.read_text(encoding="utf-8").strip())) != _roots_place(owner.parent)
    ]


def _users_place(folder: Path) -> Place:
    return Place(folder, Path(f"/tmp/whence-{os.geteuid()}") / _digest(folder), None)  # noqa: S108  # made private


def _roots_place(place: Path) -> Place:
    return Place(place, place / "run", UNPRIVILEGED_USER)


def _new_roots_place(folder: Path) -> Place:
    """A fresh place, never one with data: who deletes a state folder and makes it anew wants to begin anew."""
    ROOTS_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
    ROOTS_FOLDER.chmod(0o755)
    name = _digest(folder)
    for number in range(_PLACES_MAX):
        place = ROOTS_FOLDER / (f"{name}-{number}" if number else name)
        try:
            place.mkdir(mode=0o711)
        except FileExistsError:
            continue
        place.chmod(0o711)
        (folder / _POINTER).write_text(f"{place}\n", encoding="utf-8")
        return _roots_place(place)
    raise InvalidInput([FieldProblem("state", f"too many left-over folders {ROOTS_FOLDER / name}-*; delete some")])


def _make_private_folder(path: Path) -> None:
    """Make a folder of ours in a place that everybody may write to, and make sure that nobody else made it."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid != os.geteuid():
        raise InvalidInput([FieldProblem("state", f"{path} belongs to somebody else; have it removed")])
    path.chmod(0o700)


def _digest(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
