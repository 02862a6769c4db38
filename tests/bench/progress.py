"""How far the records of an installation have been applied, asked from the database."""

import time

from bench.stores import Installation

PATIENCE_SECONDS = 600.0
"""Longer than any backlog of a benchmark takes on a loaded machine."""

LOOK_AGAIN_SECONDS = 0.1


def wait_for_applied(installation: Installation, records: int) -> None:
    """Wait until so many records of all partitions together have been applied."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with installation.connect() as connection:
        while True:
            row = connection.execute("SELECT coalesce(sum(next_offset), 0)::bigint FROM partition_position").fetchone()
            applied = row[0] if row else 0
            if applied >= records:
                return
            assert time.monotonic() < deadline, f"only {applied} of {records} records are applied"
            time.sleep(LOOK_AGAIN_SECONDS)
