"""Named SQL statements from the `.sql` file beside their user.

A file is a list of blocks `-- name: the_name` with a comment that says what the statement does; parameters are
`:name` in the file and `%(name)s` for psycopg. `load_statements(__file__)["the_name"]` is the text.
"""

from pathlib import Path

import aiosql
from psycopg import sql


class Statements:
    """The statements of one file by name."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def __getitem__(self, name: str) -> sql.SQL:
        """The statement, ready for psycopg's `execute`."""
        return sql.SQL(self._texts[name])

    def names(self) -> list[str]:
        """The names, in the file's order."""
        return list(self._texts)


def load_statements(module_file: str) -> Statements:
    """The statements of the `.sql` file beside a module: pass the module's `__file__`."""
    path = Path(module_file).with_suffix(".sql")
    queries = aiosql.from_path(path, "psycopg", mandatory_parameters=False)
    names = [name for name in queries.available_queries if not name.endswith("_cursor")]
    return Statements({name: getattr(queries, name).sql for name in names})
