"""Real `whence serve aggregate` processes that tests kill, and an oracle that knows what must come out."""

import contextlib
import random
import signal
import socket
import subprocess
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conftest import Installation
from integration.aggregate.support import Fields, Shop, event, record
from program import PATIENCE_SECONDS, Program, get, until
from whence.aggregate.reconcile import reconciliation
from whence.domain.errors import DependencyUnavailable
from whence.eventlog.adapters import open_scanner, prepare
from whence.eventlog.port import NewRecord
from whence.kit.migrate import migrate

BROKEN = b"broken"

KINDS = ("view", "click", "cart", "purchase", "dismiss")


class Oracle:
    """Makes events, appends them until the log has them, and knows their sums. Some repeat, some are broken."""

    def __init__(self, installation: Installation, seed: int) -> None:
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

    def append(self, number: int) -> None:
        """Append so many new events, a tenth as many repeats of old ones, and a broken record now and then."""
        fresh = [self._event(len(self._events)) for _ in range(number)]
        repeats = self._random.choices(list(self._events.values()), k=number // 10)
        records = [record(fields) for fields in fresh + repeats]
        records += [NewRecord(one.partition, one.key, BROKEN) for one in self._random.sample(records, number // 100)]
        self._random.shuffle(records)
        self._append(records)

    def _event(self, number: int) -> Fields:
        now = datetime.now(UTC)
        made = event(
            f"u{int(self._random.paretovariate(0.7)) % 60}",
            f"i{self._random.randrange(25)}",
            f"e{number}",
            self._random.choice(KINDS),
            received_at=now.isoformat(),
            occurred_at=(now - timedelta(minutes=self._random.randrange(60))).isoformat(),
        )
        self._events[f"e{number}"] = made
        return made

    def _append(self, records: list[NewRecord]) -> None:
        """Append; an unknown outcome is answered as a client would: send all of it again."""

        def sent() -> bool:
            try:
                self.shop.append_records(records)
            except DependencyUnavailable:
                return False
            return True

        assert until(sent)

    def counts(self) -> Counter[tuple[str, str, str]]:
        """What must have been counted."""
        return Counter((one["user_id"], one["item_id"], one["event_type"]) for one in self._events.values())

    def interest(self) -> int:
        """Events that move the trend."""
        return sum(one["event_type"] != "dismiss" for one in self._events.values())

    def wait_until_drained(self) -> None:
        """Wait until everything in the log has been applied and folded."""
        assert until(self._drained), f"books {self.shop.books()}"
        assert until(lambda: self._folded() >= self.interest()), f"{self._folded()} of {self.interest()} are folded"

    def check(self) -> None:
        """Everything is counted exactly once, and the tables are what the log says."""
        broken = self.shop.value("SELECT count(*) FROM log_record WHERE value = %s", BROKEN)
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

    def _drained(self) -> bool:
        with closing(open_scanner(self.shop.installation.log)) as scanner:
            high = sum(scanner.watermarks(partition).high for partition in range(scanner.partitions))
        return sum(self.shop.books()) == high

    def _folded(self) -> int:
        folded: int = self.shop.value("SELECT coalesce(sum(count), 0)::int FROM trend_bucket WHERE level = 2")
        return folded


class Worker:
    """A `whence serve aggregate` that may be killed and started again."""

    def __init__(self, program: Program, installation: Installation) -> None:
        self._program = program
        self._settings = {
            "WHENCE_DATABASE_URL": installation.url,
            "WHENCE_NAMESPACE": installation.namespace,
            "WHENCE_LOG_LEVEL": "error",
        }
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
        words = ("serve", "aggregate", "--port", str(self._port))
        self._process = self._program.start(*words, **self._settings, WHENCE_FAILPOINTS=failpoints)

    def keep_running(self) -> None:
        """Start it again if it has ended."""
        if self._process is None or self._process.poll() is not None:
            self.start()

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        """SIGTERM; it ends by itself and cleanly."""
        self.process.terminate()
        assert self.process.wait(PATIENCE_SECONDS) == 0

    def wake(self) -> None:
        """SIGCONT, in case it is frozen."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)

    def is_frozen(self) -> bool:
        """Whether it has been stopped by a signal."""
        state = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def metric(self, name: str) -> float:
        """A sample without labels; 0 if nobody answers."""
        for line in get(f"http://127.0.0.1:{self._port}/metrics")[1].decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
        return 0.0


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
