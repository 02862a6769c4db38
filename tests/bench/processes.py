"""What processes use, read from /proc: memory and CPU of a whole tree, PostgreSQL's backends included."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


_TESTS = Path(__file__).resolve().parents[1]


def start_module(name: str, *arguments: str) -> "subprocess.Popen[str]":
    """A module of the benchmarks as a process of its own, with pipes to its stdin and from its stdout."""
    return subprocess.Popen(
        [sys.executable, "-m", name, *arguments],
        env=os.environ | {"PYTHONPATH": str(_TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def tree(root: int) -> list[int]:
    """The process and all its descendants that are alive now."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, fields in _stats().items():
        children[int(fields[1])].append(pid)
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children[pid]
    return found


def pss_mb(pids: list[int]) -> float:
    """Proportional set size of the processes together, in units of 10^6 bytes: memory that is shared counts once."""
    total_kib = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        total_kib += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total_kib * 1024 / 1e6


def cpu_seconds(pids: list[int]) -> float:
    """CPU that the processes have used since they began, user and system, children that were waited for included."""
    stats = _stats()
    used = [sum(int(ticks) for ticks in stats[pid][11:15]) for pid in pids if pid in stats]
    return sum(used) / _TICKS_PER_SECOND


def command(pid: int) -> str:
    """The command line of a process; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _stats() -> dict[int, list[str]]:
    """The fields of /proc/<pid>/stat after the command's name (state, parent, …) for all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
