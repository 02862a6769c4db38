"""`whence up --log kafka`, through the real program: everything on an embedded broker."""

import json
import os
import signal
from pathlib import Path

import pytest

from program import Program, get, is_alive, until

SERVICES = ("ingest", "recommend", "aggregate")

OF_OTHER_BROKERS = {
    "WHENCE_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
    "WHENCE_KAFKA_SASL_MECHANISM": "PLAIN",
    "WHENCE_KAFKA_SASL_USERNAME": "somebody",
    "WHENCE_KAFKA_SASL_PASSWORD": "elsewhere",
    "WHENCE_KAFKA_REPLICATION": "3",
}
"""Settings of a cluster that the environment may speak of; the embedded broker has none of it."""


@pytest.fixture
def on_kafka(program: Program, kafka_jars: Path) -> Program:
    """The program in a folder whose state has Kafka's jars already."""
    home = program.state / "kafka"
    home.mkdir(parents=True)
    for name in ("libs", "libs.stamp"):
        (home / name).symlink_to(kafka_jars.resolve() / name)
    return program


def everything_is_healthy(program: Program) -> bool:
    parts = program.status()
    return set(parts) == {"postgresql", "kafka", *SERVICES} and all(part["healthy"] for part in parts.values())


def count_one(program: Program, user: str, **settings: str) -> None:
    """Send an event of the user and find it counted once, here and by a recount from the log."""
    assert program.run("send", "view", "--user", user, "--item", "i", **settings).returncode == 0
    recommend = json.loads((program.state / "endpoints.json").read_text())["recommend"]

    def signals() -> list[int]:
        answer = json.loads(get(f"{recommend}/v1/users/{user}/signals")[1] or b'{"signals": []}')
        return [signal["count"] for signal in answer["signals"]]

    assert until(lambda: signals() == [1])
    assert program.run("reconcile", **settings).returncode == 0


def test_all_parts_run_on_kafka_and_the_scores_of_both_logs_stay_apart(on_kafka: Program) -> None:
    plain = on_kafka.up()
    count_one(on_kafka, "on-postgresql")
    on_kafka.run("down")

    endpoints = on_kafka.up("--log", "kafka", **OF_OTHER_BROKERS)
    assert endpoints["log_url"].startswith("kafka://127.0.0.1:")
    assert endpoints["log_url"].endswith("/whence.events")
    assert endpoints["database_url"] != plain["database_url"]
    assert everything_is_healthy(on_kafka)
    count_one(on_kafka, "on-kafka", **OF_OTHER_BROKERS)
    assert json.loads(get(f"{endpoints['recommend']}/v1/users/on-postgresql/signals")[1])["signals"] == []
    assert on_kafka.run("migrate", "--check", **OF_OTHER_BROKERS).returncode == 0

    parts = on_kafka.status()
    down = on_kafka.run("down")
    assert down.stdout == "stopped postgresql, kafka, ingest, recommend, aggregate\n"
    assert not any(is_alive(part["pid"]) for part in parts.values())

    again = on_kafka.run("up", "--detach", "--log", "kafka")
    assert "applied" not in again.stdout
    assert "made" not in again.stdout
    assert on_kafka.run("reconcile").returncode == 0
    assert on_kafka.run("reset", "--yes").returncode == 0
    assert not on_kafka.state.exists()


def test_a_killed_broker_comes_back_and_a_killed_supervisor_takes_it_along(on_kafka: Program) -> None:
    on_kafka.up("--log", "kafka")
    before = on_kafka.status()["kafka"]
    os.kill(before["pid"], signal.SIGKILL)
    assert until(lambda: everything_is_healthy(on_kafka))
    after = on_kafka.status()["kafka"]
    assert (after["port"], after["pid"] != before["pid"]) == (before["port"], True)
    count_one(on_kafka, "after-the-kill")

    os.kill(int((on_kafka.state / "lock").read_text()), signal.SIGKILL)
    assert until(lambda: not is_alive(after["pid"]))


def test_up_ends_a_broker_that_a_killed_supervisor_left_hanging(on_kafka: Program) -> None:
    on_kafka.up("--log", "kafka")
    left = on_kafka.status()["kafka"]["pid"]
    os.kill(left, signal.SIGSTOP)
    os.kill(int((on_kafka.state / "lock").read_text()), signal.SIGKILL)
    on_kafka.up("--log", "kafka")
    assert not is_alive(left)
    assert everything_is_healthy(on_kafka)


def test_the_demonstration_runs_on_kafka(on_kafka: Program) -> None:
    done = on_kafka.run("demo", "--exit", "--json", "--log", "kafka")
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    assert story["endpoints"]["log_url"].startswith("kafka://")
    assert story["visitor"]["moves"]
    assert on_kafka.status() == {}


def test_a_log_in_postgresql_and_an_embedded_kafka_exclude_each_other(program: Program) -> None:
    done = program.run("up", "--log", "kafka", WHENCE_LOG_URL="postgresql:///elsewhere")
    assert done.returncode == 2
    assert "--log: WHENCE_LOG_URL names a log in PostgreSQL" in done.stderr


def test_a_machine_without_java_is_told_what_to_install(program: Program) -> None:
    done = program.run("up", "--detach", "--log", "kafka", PATH="/nonexistent")
    assert done.returncode == 3
    assert "java" in done.stderr
    assert "make system-deps" in done.stderr
    assert program.status() == {}
