"""What each statement of the consumer does, in Python. Keys are the statements' texts, as the product sends them."""

import math
from collections.abc import Mapping
from types import ModuleType

import numpy as np
import psycopg

from simulation.database import Database, Parameters, Rows, Session, Statement
from simulation.packed import byte_strings, numbers
from simulation.tables import PositionRow, SegmentRow, SignalRow
from whence.kit.clock import from_us, to_us
from whence.kit.sqlfiles import load_statements

LOG_TERM_MIN = -623.832462503951


def named(module: ModuleType, handlers: Mapping[str, Statement]) -> dict[str, tuple[str, Statement]]:
    """Handlers by the text of the module's statements."""
    assert module.__file__ is not None
    statements = load_statements(module.__file__)
    module_name = module.__name__.rsplit(".", 1)[-1]
    return {statements[name].as_string(None): (f"{module_name}.{name}", does) for name, does in handlers.items()}


def nothing(_database: Database, _session: Session, _given: Parameters) -> Rows:
    """Settings, and what is not modelled."""
    return []


def known_users(database: Database, _session: Session, given: Parameters) -> Rows:
    """Ids of those that have one."""
    return _known(database.tables.users, given)


def known_items(database: Database, _session: Session, given: Parameters) -> Rows:
    """The same for items."""
    return _known(database.tables.items, given)


def add_users(database: Database, _session: Session, given: Parameters) -> Rows:
    """Ids for new ones, autocommitted."""
    return _added(database.tables.users, given)


def add_items(database: Database, _session: Session, given: Parameters) -> Rows:
    """The same for items."""
    return _added(database.tables.items, given)


def _known(table: dict[str, int], given: Parameters) -> Rows:
    return [(key, table[key]) for key in given["external_ids"] if key in table]


def _added(table: dict[str, int], given: Parameters) -> Rows:
    fresh = [key for key in given["external_ids"] if key not in table]
    for key in fresh:
        table[key] = len(table) + 1
    return [(key, table[key]) for key in fresh]


def hold_position(database: Database, session: Session, given: Parameters) -> Rows:
    """Lock the partition's row, without waiting."""
    if given["partition"] not in database.tables.positions:
        return []
    key = ("position", given["partition"])
    if database.locked(session, key):
        raise psycopg.errors.LockNotAvailable("could not obtain lock on row")
    database.lock(session, key)
    return [()]


def take_over(database: Database, session: Session, given: Parameters, bump: int = 1) -> Rows:
    """Bump the epoch and say where the partition stands."""
    partition = given["partition"]
    database.lock(session, ("position", partition))
    row = database.tables.positions.get(partition)
    if row is None:
        made = PositionRow(given["log_id"], given["low"], given["low"], 1)
        database.write(session, lambda: database.tables.positions.update({partition: made}))
        return [(1, made.next_offset, made.log_id, None)]
    epoch = row.epoch + bump

    def change() -> None:
        row.epoch = epoch

    database.write(session, change)
    last = None if row.last_appended_us is None else from_us(row.last_appended_us)
    return [(epoch, row.next_offset, row.log_id, last)]


def window(database: Database, _session: Session, given: Parameters) -> Rows:
    """Segments whose ids can still be repeated."""
    return [
        (segment.append_hour, segment.event_hashes, segment.backfill_hashes)
        for (partition, _), segment in database.tables.segments.items()
        if partition == given["partition"] and segment.append_hour >= given["first_hour"]
    ]


def backfill_hashes(database: Database, _session: Session, given: Parameters) -> Rows:
    """Every backfill event ever applied."""
    return [
        (segment.backfill_hashes,)
        for (partition, _), segment in database.tables.segments.items()
        if partition == given["partition"] and segment.backfill_hashes
    ]


def unfenced_swap(database: Database, session: Session, given: Parameters) -> Rows:
    """Move the position wherever it stands."""
    row = database.tables.positions[given["partition"]]

    def change() -> None:
        row.next_offset = given["end_offset"]
        for name in ("applied", "duplicate", "dead", "absent"):
            setattr(row, name, getattr(row, name) + given[name])
        row.last_appended_us = to_us(given["last_appended_at"])
        if given["last_event_at"] is not None:
            row.last_event_us = max(row.last_event_us or 0, to_us(given["last_event_at"]))

    database.write(session, change)
    return [()]


def swap_position(
    database: Database, session: Session, given: Parameters, compared: tuple[str, ...] = ("next_offset", "epoch")
) -> Rows:
    """Move the position if it is as we left it."""
    database.lock(session, ("position", given["partition"]))
    row = database.tables.positions.get(given["partition"])
    expected = {"next_offset": given["first_offset"], "epoch": given["epoch"]}
    if row is None or row.log_id != given["log_id"] or any(getattr(row, name) != expected[name] for name in compared):
        return []
    return unfenced_swap(database, session, given)


def add_signals(database: Database, session: Session, given: Parameters) -> Rows:
    """Counts and log-domain sums add, times keep the newest."""
    columns = (numbers(given[name]) for name in ("users", "items", "types", "counts", "log_sums", "last_at"))
    rows = list(zip(*columns, strict=True))

    def change() -> None:
        signals = database.tables.signals
        for user, item, code, count, log_sum, last_us in rows:
            held = signals.get((user, item, code))
            new = SignalRow(count, log_sum, last_us)
            signals[user, item, code] = new if held is None else _sum(held, new)

    database.write(session, change)
    return [()] * len(rows)


def _sum(a: SignalRow, b: SignalRow) -> SignalRow:
    term = max(-abs(a.log_sum - b.log_sum), LOG_TERM_MIN)
    log_sum = max(a.log_sum, b.log_sum) + math.log(1 + math.exp(term))
    return SignalRow(a.events + b.events, log_sum, max(a.last_us, b.last_us))


def recents_of(database: Database, _session: Session, given: Parameters) -> Rows:
    """Packed recent items."""
    held = database.tables.recents
    return [(user, held[user]) for user in numbers(given["users"]) if user in held]


def touched_before(database: Database, _session: Session, given: Parameters) -> Rows:
    """Places of the pairs that were touched by anything but a dismissal."""
    dismiss = database.tables.types[given["dismiss"]]
    touched = {(user, item) for user, item, code in database.tables.signals if code != dismiss}
    asked = zip(numbers(given["users"]), numbers(given["items"]), strict=True)
    return [(place,) for place, pair in enumerate(asked, start=1) if pair in touched]


def put_recents(database: Database, session: Session, given: Parameters) -> Rows:
    """Packed recent items, whole."""
    rows = dict(zip(numbers(given["users"]), byte_strings(given["packed"]), strict=True))
    database.write(session, lambda: database.tables.recents.update(rows))
    return [()] * len(rows)


def add_segment(database: Database, session: Session, given: Parameters) -> Rows:
    """What is kept of the batch."""
    key = (given["partition"], given["first_offset"])
    segment = SegmentRow(**{name: given[name] for name in SegmentRow.__slots__})

    def change() -> None:
        if key in database.tables.segments:
            raise psycopg.errors.UniqueViolation("batch_segment_pkey")
        database.tables.segments[key] = segment

    database.write(session, change)
    return [()]


def add_dead_letters(database: Database, session: Session, given: Parameters) -> Rows:
    """Dead letters."""
    offsets = np.asarray(numbers(given["offsets"])).tolist()
    rows = {
        (given["partition"], offset): (reason, value)
        for offset, reason, value in zip(offsets, given["reasons"], byte_strings(given["values"]), strict=True)
    }
    database.write(session, lambda: database.tables.letters.update(rows))
    return [()] * len(rows)
