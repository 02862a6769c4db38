"""From accepted to visible at a steady rate, on a real Kafka and PostgreSQL, with an exact count at the end.

All events are timed against the positions in the database; beside that some are read with their token, as a page would.
The soak sends for ten minutes to two replicas of each service, one of which is killed every half minute. It begins with
a history: a service that meets every user for the first time fills its memories, which says nothing of the days after.
"""

import asyncio
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from bench.disturbance import Disturbance
from bench.progress import Watch, wait_for_applied
from bench.report import FULL, SMALL, SOAK, Figures, percentile, say
from bench.services import Replica, replicas
from bench.steady import Key, Line, Sender, Sent, key_of
from bench.stores import Installation, stores
from bench.traffic import Traffic, fill

NAMES = ("ingest", "aggregate", "recommend")
READ_SECONDS = 0.1
"""Between two reads."""

HISTORY_SEED = 2


@dataclass(frozen=True, slots=True)
class _Size:
    """How much is sent.

    Attributes:
        events_per_second, seconds: The load.
        warm_seconds: At its begin, in which nothing is timed.
        replicas: Of each service.
        kill_seconds: Between two kills; 0 for none.
        history_events: Applied before it begins.
    """

    events_per_second: int
    seconds: float
    warm_seconds: float
    replicas: int = 1
    kill_seconds: float = 0.0
    history_events: int = 0


_SIZES = MappingProxyType(
    {
        FULL: _Size(1_000, 60, 5),
        SMALL: _Size(100, 3, 1, history_events=100),
        SOAK: _Size(2_000, 600, 5, replicas=2, kill_seconds=30, history_events=1_000_000),
    }
)


def measure(size: str) -> Figures:
    """Send, watch, read, perhaps kill, and count."""
    wanted = _SIZES[size]
    with stores() as servers, tempfile.TemporaryDirectory() as folder:
        installation = servers.install()
        names = [name for name in NAMES for _ in range(wanted.replicas)]
        with replicas(Path(folder), installation.settings(), names) as made, Watch(installation) as watch:
            expected = _apply_history(installation, wanted.history_events)
            say(f"{wanted.events_per_second} events/s for {wanted.seconds:g} s")
            with Disturbance(made, wanted.kill_seconds) as disturbance:
                sender, reads_ms = asyncio.run(_send_and_read(made, wanted))
            say("waiting until all is applied")
            wait_for_applied(installation, _log_end(sender.sent))
        found = _counted(installation)
    expected.update(sent.key for sent in sender.sent)
    visible_ms = _visible_ms(watch, sender.sent, wanted.warm_seconds)
    figures = {
        "p50_ms": percentile(visible_ms, 0.50),
        "p99_ms": percentile(visible_ms, 0.99),
        "events_per_second": len(sender.sent) / (sender.sent[-1].accepted_at - sender.sent[0].accepted_at),
        "lost": float((expected - found).total()),
        "doubled": float((found - expected).total()),
        "read_p50_ms": percentile(reads_ms, 0.50),
        "read_p99_ms": percentile(reads_ms, 0.99),
        **disturbance.memory_mb(),
    }
    notes = [f"{len(sender.sent)} events, {len(reads_ms)} reads, {disturbance.kills} kills, {sender.refused} retries"]
    return Figures(figures, notes=notes)


def _apply_history(installation: Installation, events: int) -> Counter[Key]:
    """Have aggregate count events that came before; what they count as."""
    if not events:
        return Counter()
    say(f"{events} events of the past")
    history = list(Traffic(events, seed=HISTORY_SEED, dead_share=0.0).values())
    wait_for_applied(installation, sum(fill(installation.log, iter(history))))
    return Counter(key_of(event) for event in history)


async def _send_and_read(made: Sequence[Replica], wanted: _Size) -> tuple[Sender, list[float]]:
    sender = Sender([replica.port for replica in made if replica.name == "ingest"])
    reads_ms: list[float] = []
    ports = [replica.port for replica in made if replica.name == "recommend"]
    reading = asyncio.create_task(_read(sender, ports, reads_ms))
    traffic = Traffic(int(1.1 * wanted.events_per_second * wanted.seconds))
    await sender.send(traffic.as_sent(), wanted.events_per_second, wanted.seconds)
    reading.cancel()
    await asyncio.wait([reading])
    return sender, reads_ms


async def _read(sender: Sender, ports: Sequence[int], reads_ms: list[float]) -> None:
    """Read the list of whoever acted last with the token of that event; a server that is away is no read."""
    lines = [Line(port) for port in ports]
    while True:
        await asyncio.sleep(READ_SECONDS)
        if not sender.sent:
            continue
        sent = sender.sent[-1]
        lines.append(lines.pop(0))
        answer = await lines[0].ask("GET", f"/v1/users/{sent.key[0]}/recommendations?after={sent.token}")
        if answer is None:
            lines[0].close()
        elif answer[0] == 200 and json.loads(answer[1])["degraded"] is None:
            reads_ms.append((time.monotonic() - sent.accepted_at) * 1_000)


def _log_end(sent: Sequence[Sent]) -> int:
    """How many offsets lie up to the last accepted event of each partition."""
    ends: dict[int, int] = defaultdict(int)
    for one in sent:
        ends[one.partition] = max(ends[one.partition], one.offset + 1)
    return sum(ends.values())


def _visible_ms(watch: Watch, sent: Sequence[Sent], warm_seconds: float) -> list[float]:
    timed = [one for one in sent if one.accepted_at > sent[0].accepted_at + warm_seconds]
    by_partition: dict[int, list[Sent]] = defaultdict(list)
    for one in timed:
        by_partition[one.partition].append(one)
    found: list[float] = []
    for partition, events in by_partition.items():
        seen = watch.visible_at(partition, [one.offset for one in events])
        found += [1_000 * (at - one.accepted_at) for at, one in zip(seen.tolist(), events, strict=True)]
    return found


def _counted(installation: Installation) -> Counter[Key]:
    """How often each user did what with each item, by the database."""
    query = (
        "SELECT u.external_id, i.external_id, t.name, s.count FROM signal s JOIN user_ref u ON u.id = s.user_id "
        "JOIN item_ref i ON i.id = s.item_id JOIN event_type t ON t.code = s.event_type"
    )
    with installation.connect() as connection:
        return Counter({(user, item, kind): count for user, item, kind, count in connection.execute(query)})
