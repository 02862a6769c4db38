"""What a benchmark gives and how it is shown."""

import json
import math
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

FULL, SMALL, SOAK = SIZES = ("full", "small", "soak")
"""How much is measured: figures to compare, in minutes; that it works at all, in seconds; what lasts (freshness)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured.

    Attributes:
        figures: Numbers by name; the name ends with the unit.
        ratios: Numbers without a unit, both sides measured in this run.
        notes: What a reader must know to judge the numbers, one line each; shown, not part of the JSON.
    """

    figures: Mapping[str, float]
    ratios: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


class Bench(Protocol):
    """A module of this package."""

    def measure(self, size: str) -> Figures:
        """Run and measure; *size* is one of SIZES."""


def report(name: str, found: Figures) -> None:
    """Print the table on stderr and the line of JSON on stdout."""
    about = machine()
    rows = {**found.figures, **found.ratios}
    width = max(map(len, rows), default=0)
    cores, memory = about["cores"], about["memory_gib"]
    lines = [f"{name}: {about['cpu']}, {cores} cores, {memory} GiB, Python {about['python']}, {about['date']}"]
    lines += [f"  {row:<{width}}  {_short(value):>10}" for row, value in rows.items()]
    lines += [f"  {note}" for note in found.notes]
    sys.stderr.write("\n".join(lines) + "\n")
    document = {
        "bench": name,
        "machine": about,
        "figures": {row: _rounded(value) for row, value in found.figures.items()},
        "ratios": {row: _rounded(value) for row, value in found.ratios.items()},
    }
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def machine() -> dict[str, str | float]:
    """The machine and the moment, as far as they explain the figures."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(pages / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1m": round(os.getloadavg()[0], 2),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def say(progress: str) -> None:
    """Tell whoever waits what is being done."""
    sys.stderr.write(f"  … {progress}\n")
    sys.stderr.flush()


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value with at least *share* (0 to 1) of the values at or below it (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
