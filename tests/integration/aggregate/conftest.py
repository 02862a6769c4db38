"""Fixtures of the tests on a real PostgreSQL."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from conftest import Installation
from integration.aggregate.support import Running, Shop, running


@pytest.fixture
def shop(installation: Installation) -> Iterator[Shop]:
    with closing(Shop(installation)) as one:
        yield one


@pytest.fixture
def aggregator(installation: Installation) -> Iterator[Running]:
    with running(installation) as one:
        yield one
