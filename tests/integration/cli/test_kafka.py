"""`whence kafka`, through the real program: a broker for trials, with Kafka's own tools."""

import json
import subprocess
from pathlib import Path

from program import Program


def test_a_broker_starts_is_found_running_serves_its_tools_and_stops(program: Program, kafka_jars: Path) -> None:
    home = program.folder / "a kafka"
    home.mkdir()
    for part in ("libs", "libs.stamp"):
        (home / part).symlink_to(kafka_jars.resolve() / part)
    try:
        first, again = (program.run("kafka", "start", "--home", str(home), "--json") for _ in range(2))
        assert first.returncode == 0, first.stderr
        assert first.stdout == again.stdout
        answer = json.loads(first.stdout)
        made = subprocess.run(
            [
                f"{answer['tools']}/kafka-topics.sh",
                "--bootstrap-server",
                answer["bootstrap"],
                "--create",
                "--topic",
                "t",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Created topic t" in made.stdout, made.stderr
    finally:
        stopped = program.run("kafka", "stop", "--home", str(home), "--json")
    assert json.loads(stopped.stdout) == {"stopped_brokers": 1}
    assert json.loads(program.run("kafka", "stop", "--home", str(home), "--json").stdout) == {"stopped_brokers": 0}


def test_a_machine_without_java_is_told_what_to_install(program: Program) -> None:
    done = program.run("kafka", "start", PATH="/nonexistent")

    assert done.returncode == 3
    assert "java" in done.stderr
    assert "make system-deps" in done.stderr
