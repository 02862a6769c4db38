"""Fixtures of the tests that break things."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from chaos.support import SEED, Oracle
from conftest import Installation


@pytest.fixture(autouse=True)
def seed() -> None:
    """Say what to run again with; pytest shows it when a test fails."""
    print(f"WHENCE_CHAOS_SEED={SEED}")  # noqa: T201


@pytest.fixture
def on_log(request: pytest.FixtureRequest, installation: Installation) -> Installation:
    """An installation on the log that the test names."""
    if request.param == "postgresql":
        return installation
    return installation.on_kafka(request.getfixturevalue("kafka"))


@pytest.fixture
def oracle(installation: Installation) -> Iterator[Oracle]:
    with closing(Oracle(installation)) as one:
        yield one
