"""Whether the parts that run from a state folder do their work."""

from whence.domain.errors import DependencyUnavailable
from whence.embedded.child import probe
from whence.embedded.processes import birth, listens
from whence.embedded.state import Part, StateFolder
from whence.kit.database import connect


def healthy_parts(state: StateFolder) -> list[tuple[Part, bool]]:
    """The parts of a running `whence up` and whether each answers now; none if nothing runs."""
    if state.holder() is None:
        return []
    return [(part, _is_healthy(part)) for part in state.parts()]


def _is_healthy(part: Part) -> bool:
    if birth(part.pid) != part.born:
        return False
    if part.port is not None:
        return listens(part.pid, part.port) and probe(f"{part.url}/readyz")
    try:
        with connect(part.url, "public", "status") as connection:
            return connection.execute("SELECT 1").fetchone() is not None
    except DependencyUnavailable:
        return False
