"""The whole product on one machine: how fast it starts, imports and shows an event, and what it needs when idle."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.http import Client
from bench.processes import command, cpu_seconds, pss_mb, tree
from bench.report import Figures, percentile

WHENCE = Path(sys.executable).with_name("whence")
HELP_RUNS = 7
"""Runs of `whence --help`; the median counts."""

DEMO_TIMEOUT_SECONDS = 600.0
SETTLE_SECONDS = 15.0
"""Idle time before memory is read: longer than the compactor's round."""

EVENTS_PER_SECOND = 100
VISIBLE_SECONDS = 20
"""2,000 events: 20 of them lie above the 99th percentile."""

VISIBLE_TIMEOUT_SECONDS = 60.0
"""An event that no list knows by then is lost: the benchmark fails."""

SENDERS = 32
"""Threads that send and read: enough that a slow answer does not hold the next event back."""


def measure(_size: str) -> Figures:
    """Two demos in a fresh state folder, then an idle `whence up` and its visible events."""
    with _state_folder() as state:
        cold, cold_seconds = _demo(state)
        _, warm_seconds = _demo(state)
        with _up(state) as running:
            time.sleep(SETTLE_SECONDS)
            pids = tree(running["pid"])
            idle_mb, idle = pss_mb(pids), [_describe(pid) for pid in pids]
            cpu_before = cpu_seconds(pids)
            visible_ms = _visible_ms(running["endpoints"])
            busy_cores = (cpu_seconds(tree(running["pid"])) - cpu_before) / VISIBLE_SECONDS
    figures = {
        "cold_demo_seconds": cold_seconds,
        "warm_demo_seconds": warm_seconds,
        "help_seconds": _help_seconds(),
        "idle_pss_mb": idle_mb,
        "visible_p50_ms": percentile(visible_ms, 0.50),
        "visible_p99_ms": percentile(visible_ms, 0.99),
        "import_events_per_second": float(cold["history"]["events_per_second"]),
    }
    sent = f"{len(visible_ms)} events sent one by one at {EVENTS_PER_SECOND}/s, each followed by a read"
    notes = [f"{sent}: {busy_cores:.2f} cores busy; idle processes:", *idle]
    return Figures(figures, notes=notes)


@contextmanager
def _state_folder() -> Iterator[Path]:
    """A fresh state folder; what it stands for is deleted afterwards, also where root's stores lie elsewhere."""
    with tempfile.TemporaryDirectory(prefix="whence-bench-") as folder:
        state = Path(folder) / "state"
        try:
            yield state
        finally:
            subprocess.run([WHENCE, "reset", "--yes"], env=_environment(state), stdout=subprocess.DEVNULL, check=True)


def _demo(state: Path) -> tuple[dict[str, Any], float]:
    """The document of one `whence demo --exit --json` and the seconds it took."""
    start = time.perf_counter()
    done = subprocess.run(
        [WHENCE, "demo", "--exit", "--json"],
        env=_environment(state),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), time.perf_counter() - start


def _help_seconds() -> float:
    """The median of some runs of `whence --help`."""
    found = []
    for _ in range(HELP_RUNS):
        start = time.perf_counter()
        subprocess.run([WHENCE, "--help"], stdout=subprocess.DEVNULL, check=True)
        found.append(time.perf_counter() - start)
    return percentile(found, 0.5)


@contextmanager
def _up(state: Path) -> Iterator[dict[str, Any]]:
    """A running `whence up`: the supervisor's pid and the endpoints."""
    process = subprocess.Popen(
        [WHENCE, "up", "--json"],
        env=_environment(state),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"whence up ended: {process.wait()}"
        yield {"pid": process.pid, "endpoints": json.loads(line)}
    finally:
        process.terminate()
        process.wait(timeout=60)


def _visible_ms(endpoints: dict[str, str]) -> list[float]:
    """Milliseconds from an event's 202 to a list that knows it, for events sent one by one at a steady rate."""
    ingest, recommend = Client(endpoints["ingest"]), Client(endpoints["recommend"])
    items = [row["item_id"] for row in recommend.get("/v1/popular?limit=50").body["items"]]
    start = time.perf_counter()

    def one(number: int) -> float:
        time.sleep(max(start + number / EVENTS_PER_SECOND - time.perf_counter(), 0))
        user = f"bench-{number % 500}"
        event = {"event_type": "view", "user_id": user, "item_id": items[number % len(items)]}
        accepted = ingest.post("/v1/events", event)
        assert accepted.status == 202, accepted
        accepted_at = time.perf_counter()
        _wait_until_visible(recommend, user, accepted.body["token"])
        return (time.perf_counter() - accepted_at) * 1_000

    with ThreadPoolExecutor(SENDERS) as senders:
        return list(senders.map(one, range(EVENTS_PER_SECOND * VISIBLE_SECONDS)))


def _wait_until_visible(recommend: Client, user: str, token: str) -> None:
    """Read the user's list until it knows the token; recommend itself waits for it up to 2 s in each read."""
    deadline = time.perf_counter() + VISIBLE_TIMEOUT_SECONDS
    while time.perf_counter() < deadline:
        answer = recommend.get(f"/v1/users/{user}/recommendations?after={token}")
        assert answer.status == 200, answer
        if _covers(answer.body["freshness"]["token"], token):
            return
    raise AssertionError(f"{token} of {user} is not visible after {VISIBLE_TIMEOUT_SECONDS:g} s")


def _covers(seen: str, wanted: str) -> bool:
    """Whether a list's freshness token is at or past the token of an event."""
    log, _, places = seen.partition(".")
    offsets = dict(place.split(":") for place in places.split(","))
    wanted_log, _, place = wanted.partition(".")
    partition, _, offset = place.partition(":")
    return log == wanted_log and int(offsets.get(partition, 0)) >= int(offset)


def _environment(state: Path) -> dict[str, str]:
    """The environment without settings of whoever runs this, and with our state folder."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("WHENCE_")}
    return {**mine, "WHENCE_STATE": str(state)}


def _describe(pid: int) -> str:
    """A process for a person: its id, memory and command."""
    return f"{pid:>8} {pss_mb([pid]):>7.1f} MB  {command(pid)[:90]}"
