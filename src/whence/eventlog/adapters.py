"""Which adapter serves a log's URL: the only place that services and commands need to know."""

from whence.eventlog import postgres
from whence.eventlog.port import Appender, Consumer, Scanner
from whence.eventlog.postgres_appender import PostgresAppender
from whence.eventlog.postgres_readers import PostgresConsumer, PostgresScanner


def prepare(url: str, namespace: str, partitions: int) -> None:
    """Make a migrated installation's log if there is none; *partitions* counts only then.

    Raises:
        DependencyUnavailable: If the log cannot be reached.
    """
    postgres.prepare(url, namespace, partitions)


async def open_appender(url: str, namespace: str) -> Appender:
    """The writing side.

    Raises:
        DependencyUnavailable: If the log cannot be reached or has not been made.
    """
    return await PostgresAppender.open(url, namespace)


def open_consumer(url: str, namespace: str) -> Consumer:
    """The reading side of `aggregate`.

    Raises:
        DependencyUnavailable: If the log cannot be reached or has not been made.
    """
    return PostgresConsumer(url, namespace)


def open_scanner(url: str, namespace: str) -> Scanner:
    """Bounded reads.

    Raises:
        DependencyUnavailable: If the log cannot be reached or has not been made.
    """
    return PostgresScanner(url, namespace)
