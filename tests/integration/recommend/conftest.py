"""What the tests of `recommend` share."""

from collections.abc import Iterator

import psycopg
import pytest

from conftest import Installation
from integration.recommend.live import Recommend, running


@pytest.fixture
def database(installation: Installation) -> Iterator[psycopg.Connection]:
    """A connection to the installation."""
    with installation.connect() as connection:
        yield connection


@pytest.fixture
def recommend(installation: Installation) -> Iterator[Recommend]:
    """The service with default settings."""
    with running(installation) as service:
        yield service
