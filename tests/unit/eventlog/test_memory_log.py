"""The fake log keeps the contract of the real ones."""

import pytest

from fakes.eventlog import MemoryAppender, MemoryConsumer, MemoryLog, MemoryScanner
from integration.eventlog.conformance import PARTITIONS, EventLogConformance


class MemoryLogUnderTest(MemoryLog):
    """The fake with the factories that the suite wants."""

    async def appender(self) -> MemoryAppender:
        """A new writing side."""
        return MemoryAppender(self)

    def consumer(self) -> MemoryConsumer:
        """A new reading side."""
        return MemoryConsumer(self)

    def scanner(self) -> MemoryScanner:
        """A new scanner."""
        return MemoryScanner(self)


class TestMemoryLog(EventLogConformance):
    """The suite on the fake."""

    @pytest.fixture
    def log(self) -> MemoryLogUnderTest:
        return MemoryLogUnderTest(PARTITIONS)
