"""The read behind a cache miss on a large shop, for users whose lists are all full; and how the lists keep up."""

import asyncio
import time
from datetime import UTC, datetime

from bench.folding import measure_folding
from bench.processes import cpu_seconds
from bench.report import Figures, percentile
from bench.retrieval_state import READERS, SIGNALS, fill
from bench.stores import own_postgres
from whence.kit.database import connect
from whence.kit.migrate import migrate
from whence.recommend.database import Database
from whence.recommend.read import CANDIDATES_MAX, Ask, read_candidates

NAMESPACE = "bench"
WEIGHTS = {"view": 1.0, "click": 2.0, "cart": 3.0, "purchase": 5.0, "dismiss": 0.0}
READS = 3_000
"""30 reads lie above the 99th percentile."""

UNTIMED_READS = 200
"""Reads before the clock runs: each reader once, so that lists are in memory, as in a shop with visitors."""


def measure(_size: str) -> Figures:
    """Fill a PostgreSQL of its own, then read the lists of users with 200 items one after the other."""
    now = datetime.now(UTC)
    with own_postgres() as url:
        migrate(url, NAMESPACE, ["scores"])
        with connect(url, NAMESPACE, "bench") as connection:
            fill(connection, now)
        read_ms, cpu_ms = asyncio.run(_read_ms(url, now))
        folding = measure_folding(url)
    figures = {
        "miss_p50_ms": percentile(read_ms, 0.50),
        "miss_p99_ms": percentile(read_ms, 0.99),
        "miss_cpu_ms": cpu_ms,
    }
    notes = [
        f"{READS} reads of {CANDIDATES_MAX} candidates with their 3 strongest parts, {READERS} readers in turn,"
        f" {SIGNALS:,} signal rows; each reader has 200 items, 50 sources with 50 neighbours and 50 refined weights;"
        " miss_cpu_ms is CPU of client and server together, which other programs on the machine disturb less",
    ]
    return Figures({**figures, **folding.figures}, notes=[*notes, *folding.notes])


async def _read_ms(url: str, now: datetime) -> tuple[list[float], float]:
    """Milliseconds of each read, and the CPU of one."""
    database = Database(url, NAMESPACE)
    await database.open()
    try:
        async with database.connection() as connection:
            found = []
            session = connection.info.backend_pid
            cpu = 0.0
            for number in range(UNTIMED_READS + READS):
                if number == UNTIMED_READS:
                    cpu = time.process_time() + cpu_seconds([session])
                ask = Ask([f"user-{1 + number % READERS}"], [0], WEIGHTS, now)
                start = time.perf_counter()
                reading = await read_candidates(connection, ask)
                found.append((time.perf_counter() - start) * 1_000)
                assert len(reading.found) == CANDIDATES_MAX
            cpu = time.process_time() + cpu_seconds([session]) - cpu
            return found[UNTIMED_READS:], cpu * 1_000 / READS
    finally:
        await database.close()
