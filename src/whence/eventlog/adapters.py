"""Which adapter serves a log's place: the only module that services and commands need to know.

Clients are imported only where they are used: who runs on PostgreSQL alone never loads Kafka's.
"""

from whence.eventlog.places import KafkaPlace, LogPlace
from whence.eventlog.port import Appender, Consumer, Scanner


def prepare(place: LogPlace) -> list[str]:
    """Make the log if there is none, and bring it to this version; safe twice, and from two places at once.

    Returns:
        What was done, one line each.

    Raises:
        DependencyUnavailable: If the log cannot be reached.
        InvalidInput: If it cannot be made as wished, or was made by others in a way that would break exactness.
    """
    if isinstance(place, KafkaPlace):
        from whence.eventlog.kafka.topic import prepare_topic

        return prepare_topic(place)
    from whence.eventlog import postgres
    from whence.kit.migrate import migrate

    steps = migrate(place.url, place.namespace, ["log"])
    postgres.prepare(place.url, place.namespace, place.partitions)
    return steps


def missing(place: LogPlace) -> list[str]:
    """What `prepare` would do now.

    Raises:
        DependencyUnavailable: If the log cannot be reached.
    """
    if isinstance(place, KafkaPlace):
        from whence.eventlog.kafka.topic import missing_topic

        return missing_topic(place)
    from whence.kit.migrate import pending

    return pending(place.url, place.namespace, ["log"])


async def open_appender(place: LogPlace) -> Appender:
    """The writing side.

    Raises:
        DependencyUnavailable: If the log cannot be reached or has not been made.
    """
    if isinstance(place, KafkaPlace):
        from whence.eventlog.kafka.appender import KafkaAppender

        return await KafkaAppender.open(place)
    from whence.eventlog.postgres_appender import PostgresAppender

    return await PostgresAppender.open(place.url, place.namespace)


def open_consumer(place: LogPlace) -> Consumer:
    """The reading side of `aggregate`.

    Raises:
        DependencyUnavailable: If the log cannot be reached or has not been made.
    """
    if isinstance(place, KafkaPlace):
        from whence.eventlog.kafka.consumer import KafkaConsumer

        return KafkaConsumer(place)
    from whence.eventlog.postgres_readers import PostgresConsumer

    return PostgresConsumer(place.url, place.namespace)


def open_scanner(place: LogPlace) -> Scanner:
    """Bounded reads.

    Raises:
        DependencyUnavailable: If the log cannot be reached or has not been made.
    """
    if isinstance(place, KafkaPlace):
        from whence.eventlog.kafka.scanner import KafkaScanner

        return KafkaScanner(place)
    from whence.eventlog.postgres_readers import PostgresScanner

    return PostgresScanner(place.url, place.namespace)
