"""Which stores are embedded, and what the settings become."""

from pathlib import Path

import pytest

from whence.domain.errors import InvalidInput
from whence.embedded.state import Part, StateFolder
from whence.embedded.stores import EmbeddedLog, Stores, on_embedded_kafka
from whence.kit.settings import Settings

DATABASE = "postgresql://elsewhere/scores"
CLUSTER = "kafka://elsewhere:9092/events"


def settings_with(**given: object) -> Settings:
    return Settings.model_validate(given)


def not_called(part: Part) -> None:
    raise AssertionError(part)


@pytest.mark.parametrize(("log", "log_url"), [("kafka", CLUSTER), ("postgresql", CLUSTER), ("postgresql", "")])
def test_what_settings_name_is_not_embedded(tmp_path: Path, log: EmbeddedLog, log_url: str) -> None:
    settings = settings_with(database_url=DATABASE, log_url=log_url, kafka_security_protocol="ssl")
    stores = Stores(StateFolder(tmp_path), log)
    assert stores.start(settings, not_called) == settings
    assert stores.parts == []
    assert not stores.tend(lambda line: None)
    stores.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_kafka_that_is_asked_for_and_a_log_in_postgresql_exclude_each_other(tmp_path: Path) -> None:
    settings = settings_with(database_url=DATABASE, log_url="postgresql://elsewhere/log")
    with pytest.raises(InvalidInput, match="WHENCE_LOG_URL"):
        Stores(StateFolder(tmp_path), "kafka").start(settings, not_called)


def test_settings_of_other_brokers_are_not_applied_to_ours_but_partitions_are() -> None:
    settings = settings_with(
        kafka_security_protocol="sasl_ssl",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="somebody",
        kafka_sasl_password="elsewhere",
        kafka_ssl_ca_file="/authority.pem",
        kafka_replication=3,
        kafka_partitions=4,
        namespace="mine",
    )
    url = "kafka://127.0.0.1:20000/mine.events"
    assert on_embedded_kafka(settings, url) == settings_with(log_url=url, kafka_partitions=4, namespace="mine")
