"""Real `whence serve aggregate` processes that tests kill, and an oracle that knows what must come out."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conftest import PARTITIONS, Installation
from integration.aggregate.support import Fields, Shop, event, record
from integration.service import Reply, Service
from program import PATIENCE_SECONDS, Program, get, until
from whence.aggregate.reconcile import reconciliation
from whence.domain.errors import DependencyUnavailable
from whence.domain.partition import partition_of
from whence.eventlog.adapters import open_scanner, prepare
from whence.eventlog.port import NewRecord, Record
from whence.kit.migrate import migrate

SEED = int(os.environ.get("WHENCE_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
"""Printed with every run; set WHENCE_CHAOS_SEED to run one again."""

BROKEN = b"broken"

KINDS = ("view", "click", "cart", "purchase", "dismiss")

AGES = (timedelta(seconds=-50), timedelta(hours=11))
"""When events happened before they are sent: the earliest is ahead of our clock, the latest as late as may be."""

Counts = Counter[tuple[str, str, str]]


class Oracle:
    """Makes events, appends them until the log has them, and knows their sums. Some repeat, some are broken."""

    def __init__(self, installation: Installation, seed: int = SEED) -> None:
        self.shop = Shop(installation)
        self._random = random.Random(seed)
        self._events: dict[str, Fields] = {}

    def close(self) -> None:
        """Let go of the connection."""
        self.shop.close()

    def reconnect(self) -> None:
        """After the server has been away."""
        self.shop.close()
        self.shop = Shop(self.shop.installation)

    def fresh(self, number: int) -> list[Fields]:
        """So many new events, which will be sent until they are acknowledged."""
        return [self._event(len(self._events)) for _ in range(number)]

    def old(self, number: int) -> list[Fields]:
        """Events that have been made before."""
        return self._random.choices(list(self._events.values()), k=number)

    def append(self, number: int, repeats: float = 0.1) -> None:
        """Append so many new events, this share of repeats of old ones, and a broken record now and then."""
        fresh = self.fresh(number)
        records = [record(fields) for fields in fresh + self.old(int(number * repeats))]
        records += [NewRecord(one.partition, one.key, BROKEN) for one in self._random.sample(records, number // 100)]
        self._random.shuffle(records)
        self._append(records)

    def append_until(self, condition: Callable[[], bool]) -> bool:
        """Append little by little until the condition comes true: how many transactions records share is not ours."""

        def appended() -> bool:
            self.append(20)
            return condition()

        return until(appended)

    def _event(self, number: int) -> Fields:
        now = datetime.now(UTC)
        made = event(
            f"u{int(self._random.paretovariate(0.7)) % 60}",
            f"i{self._random.randrange(25)}",
            f"e{number}",
            self._random.choice(KINDS),
            received_at=now.isoformat(),
            occurred_at=(now - self._age()).isoformat(),
        )
        self.note(made)
        return made

    def note(self, fields: Fields) -> None:
        """An event that somebody else sends, with an id of its own, until it is acknowledged."""
        self._events[fields["event_id"]] = fields

    def _age(self) -> timedelta:
        least, most = AGES
        return least + (most - least) * self._random.random() ** 4

    def _append(self, records: list[NewRecord]) -> None:
        """Append; an unknown outcome is answered as a client would: send all of it again."""

        def sent() -> bool:
            try:
                self.shop.append_records(records)
            except DependencyUnavailable:
                return False
            return True

        assert until(sent)

    def counts(self) -> Counts:
        """What must have been counted."""
        return Counter((one["user_id"], one["item_id"], one["event_type"]) for one in self._events.values())

    def counts_of(self, partition: int) -> Counts:
        """What must have been counted of one partition's users."""
        return of_partition(self.counts(), partition)

    def interest(self) -> int:
        """Events that move the trend."""
        return sum(one["event_type"] != "dismiss" for one in self._events.values())

    def wait_until_drained(self) -> None:
        """Wait until everything in the log has been applied and folded."""
        ends = self._ends()
        assert until(lambda: not self._behind(ends)), f"{self._behind(ends)} wait, books {self.shop.books()}"
        assert until(lambda: self._folded() >= self.interest()), f"{self._folded()} of {self.interest()} are folded"

    def check(self) -> None:
        """Everything is counted exactly once, and the tables are what the log says."""
        broken = sum(record.value == BROKEN for record in self.records())
        applied, _, dead, absent = self.shop.books()
        assert self.shop.counts() == self.counts()
        assert (applied, dead, absent) == (len(self._events), broken, 0)
        assert self._folded() == self.interest()
        with (
            closing(open_scanner(self.shop.installation.log)) as scanner,
            self.shop.installation.connect() as connection,
            reconciliation(connection, scanner) as comparison,
        ):
            comparison.everything()
            assert comparison.findings.differences == []

    def records(self) -> Iterator[Record]:
        """Everything that the log holds."""
        with closing(open_scanner(self.shop.installation.log)) as scanner:
            for partition in range(scanner.partitions):
                for records in scanner.scan(partition, scanner.watermarks(partition).low, 2**62):
                    yield from records

    def behind(self) -> dict[int, int]:
        """By partition, how many offsets have not been applied; partitions that are drained are left out."""
        return self._behind(self._ends())

    def _behind(self, ends: dict[int, int]) -> dict[int, int]:
        position = dict(self.shop.rows("SELECT partition, next_offset FROM partition_position"))
        waiting = {partition: end - position.get(partition, 0) for partition, end in ends.items()}
        return {partition: records for partition, records in waiting.items() if records > 0}

    def _ends(self) -> dict[int, int]:
        with closing(open_scanner(self.shop.installation.log)) as scanner:
            return {partition: scanner.watermarks(partition).high for partition in range(scanner.partitions)}

    def _folded(self) -> int:
        folded: int = self.shop.value("SELECT coalesce(sum(count), 0)::int FROM trend_bucket WHERE level = 2")
        return folded


class Worker:
    """A `whence serve` that may be killed and started again."""

    def __init__(
        self,
        program: Program,
        installation: Installation,
        service: str = "aggregate",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Serve an installation; *settings* count more than its own."""
        self._program = program
        self._service = service
        self._settings = {**installation.settings, "WHENCE_LOG_LEVEL": "error", **(settings or {})}
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process that was started last."""
        assert self._process is not None
        return self._process

    def start(self, failpoints: str = "") -> None:
        """Start it, perhaps with failpoints; do not wait."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        words = ("serve", self._service, "--port", str(self._port))
        self._process = self._program.start(*words, **self._settings, WHENCE_FAILPOINTS=failpoints)

    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def keep_running(self) -> None:
        """Start it again if it has ended."""
        if not self.is_running():
            self.start()

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """SIGTERM once it works; it ends by itself and cleanly."""
        assert until(lambda: self.is_ready() or not self.is_running())
        self.process.terminate()
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.process.communicate()[1]

    def is_killed(self) -> bool:
        """Whether the process that was started last has been killed."""
        return self.process.poll() == -signal.SIGKILL

    def wake(self) -> None:
        """SIGCONT, in case it is frozen."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def is_ready(self) -> bool:
        """Whether it says that it works."""
        return get(f"http://127.0.0.1:{self._port}/readyz")[0] == 200

    def ask(self, method: str, path: str, document: object = None) -> Reply:
        """One request."""
        return Service(self._port, self.process).ask(method, path, document)

    def is_frozen(self) -> bool:
        """Whether it has been stopped by a signal."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def metric(self, name: str) -> float:
        """The sum of a metric's samples; 0 if nobody answers."""
        return sum(self.samples(name).values())

    def samples(self, name: str) -> dict[str, float]:
        """A metric's samples by the value of its only label, "" without one; none if nobody answers."""
        text = get(f"http://127.0.0.1:{self._port}/metrics")[1].decode()
        found = re.findall(rf'^{name}(?:{{\w+="([^"]*)"}})? (\S+)$', text, re.MULTILINE)
        return {label: float(value) for label, value in found}

    def halted(self) -> set[int]:
        """The partitions that it has stopped for good."""
        return {int(label) for label, value in self.samples("whence_aggregate_partition_halted").items() if value}


def installed(url: str) -> Installation:
    """A migrated installation with an empty log in a server of its own."""
    made = Installation(url, "whence")
    migrate(url, made.namespace, ["scores"])
    prepare(made.log)
    return made


def expire_leases(shop: Shop) -> None:
    """Let the leases of dead processes run out now instead of in ten seconds."""
    shop.connection.execute("UPDATE partition_lease SET expires_at = now() WHERE owner IS NOT NULL")
    shop.connection.execute("DELETE FROM consumer_member")


def of_partition(counts: Counts, partition: int) -> Counts:
    """The counts of the users whose events lie in a partition."""
    return Counter(
        {key: number for key, number in counts.items() if partition_of(key[0].encode(), PARTITIONS) == partition}
    )
