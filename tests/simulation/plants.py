"""Statements with bugs, each of which a simulation must find."""

from simulation.database import Database, Parameters, Rows, Session
from simulation.statements import unfenced_swap


def unlocked_overwrite(database: Database, session: Session, given: Parameters) -> Rows:
    """The position becomes the batch's end, whatever it was."""
    return unfenced_swap(database, session, given)


def moved_where_below(database: Database, session: Session, given: Parameters) -> Rows:
    """The position moves wherever it is below the batch's end."""
    database.lock(session, ("position", given["partition"]))
    below = database.tables.positions[given["partition"]].next_offset < given["end_offset"]
    return unfenced_swap(database, session, given) if below else []


def two_leaders(_database: Database, _session: Session, _given: Parameters) -> Rows:
    """Whoever asks leads."""
    return [(True,)]
