"""Memory of a real aggregate process that holds a full dedupe window and has seen traffic."""

import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np

from bench.processes import pss_mb
from bench.progress import wait_for_applied
from bench.report import say
from bench.stores import Installation, Stores
from bench.traffic import Traffic, fill
from integration.service import serving
from whence.eventlog.adapters import open_consumer
from whence.kit.clock import now_us

SEGMENT_IDS = 5_000
"""Ids of one segment: a batch from a backlog."""

TRAFFIC_SHARE = 0.005
"""Events that are applied before memory is read, as a share of the ids: they fill the other memories."""


def aggregator_pss_mb(servers: Stores, ids: int) -> float:
    """Proportional set size, in units of 10^6 bytes, with *ids* ids in the window."""
    installation = servers.install()
    say(f"filling a dedupe window with {ids} ids")
    _fill_window(installation, ids)
    written = fill(installation.log, Traffic(max(int(ids * TRAFFIC_SHARE), 100)).with_repeats())
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("aggregate", Path(folder), **installation.settings()) as service,
    ):
        say("applying traffic with it")
        wait_for_applied(installation, sum(written))
        return pss_mb([service.process.pid])


def _fill_window(installation: Installation, ids: int) -> None:
    """Segments as yesterday's batches would have left them, at offsets below those of the log."""
    random = np.random.default_rng(ids)
    per_partition = ids // installation.log.partitions
    hour = now_us() // 3_600_000_000
    segments = (
        "INSERT INTO batch_segment (partition, first_offset, end_offset, append_hour, event_hashes, backfill_hashes, "
        "user_ids, trend, pairs) VALUES (%s, %s, %s, %s, %b, '', '', '', '')"
    )
    position = (
        "INSERT INTO partition_position (partition, log_id, base_offset, next_offset, last_appended_at) "
        "VALUES (%s, %s, 0, 0, now())"
    )
    with closing(open_consumer(installation.log)) as log:
        log_id = log.log_id
    with installation.connect() as connection, connection.transaction():
        for partition in range(installation.log.partitions):
            connection.execute(position, [partition, log_id])
            for end in range(0, -per_partition, -SEGMENT_IDS):
                hashes = np.sort(random.integers(-(2**63), 2**63, min(SEGMENT_IDS, end + per_partition)))
                first = end - hashes.size
                connection.execute(segments, [partition, first, end, hour, hashes.astype("<i8").tobytes()])
