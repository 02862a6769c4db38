"""What was not tested, and why, as the last line of every run: nobody should take a skipped tier for a passed one."""

import re
import sys
from collections import Counter
from collections.abc import Mapping

import pytest

_PREFIX = "Skipped: "


class SkipCounter:
    """Counts the skipped tests of a run by reason."""

    def __init__(self) -> None:
        self._reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that was skipped."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._reasons[_reason(report)] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that was skipped as a whole."""
        if report.skipped:
            self._reasons[_reason(report)] += 1

    def pytest_unconfigure(self) -> None:
        """Print the line, below pytest's own summary."""
        sys.stdout.write(f"{skipped_line(self._reasons)}\n")


def skipped_line(reasons: Mapping[str, int]) -> str:
    """The line for these counts by reason."""
    if not reasons:
        return "skipped: none"
    parts = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
    return f"skipped: {sum(reasons.values())} ({parts})"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    longrepr = report.longrepr
    text = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    return re.sub(r"\s+", " ", text.removeprefix(_PREFIX)).strip()
