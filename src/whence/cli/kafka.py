"""`whence kafka`: a real Apache Kafka on this machine, for trials and tests."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whence.cli import console
from whence.cli.options import Json

if TYPE_CHECKING:
    from whence.embedded.kafka.cluster import KafkaCluster

Home = Annotated[Path, typer.Option("--home", metavar="DIR", help="folder of its jars and data")]
Brokers = Annotated[int, typer.Option("--brokers", min=1, max=3, help="1, or 3 with replication 3")]

DEFAULT_HOME = Path(".kafka")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="A real Apache Kafka on this machine.")
    for command in (start, stop):
        group.command()(command)
    app.add_typer(group, name="kafka")


def start(home: Home = DEFAULT_HOME, brokers: Brokers = 1, as_json: Json = False) -> None:
    """Bring Kafka (Java 17 and Maven are needed) and start it on free ports; it runs until `whence kafka stop`."""
    from whence.embedded.kafka.tools import write_tools

    cluster = _cluster(home, brokers)
    if not as_json:
        console.progress(f"bringing up {brokers} broker{'s' if brokers > 1 else ''} in {home} …")
    bootstrap = cluster.start()
    tools = write_tools(home)
    log_url = f"kafka://{bootstrap}/whence.events"
    if as_json:
        console.answer({"bootstrap": bootstrap, "log_url": log_url, "tools": str(tools)})
        return
    console.say(f"Kafka serves at {bootstrap}")
    console.say(f"its tools: {tools}/kafka-topics.sh --bootstrap-server {bootstrap} --list")
    replication = f" WHENCE_KAFKA_REPLICATION={brokers}" if brokers > 1 else ""
    console.say(f"use it:    WHENCE_LOG_URL={log_url}{replication} whence up")


def stop(home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Stop every broker that runs from the folder; the data stay."""
    stopped = 0
    for brokers in range(1, 4):
        cluster = _cluster(home, brokers)
        if cluster.running_nodes():
            stopped += len(cluster.running_nodes())
            cluster.stop()
    if as_json:
        console.answer({"stopped_brokers": stopped})
    else:
        console.say(
            f"stopped {stopped} broker{'' if stopped == 1 else 's'}" if stopped else f"no Kafka runs from {home}"
        )


def _cluster(home: Path, brokers: int) -> "KafkaCluster":
    """The cluster of that size: each has data of its own beside the shared jars."""
    from whence.embedded.kafka.cluster import KafkaCluster

    return KafkaCluster(home / f"cluster-{brokers}", brokers, jars_home=home)
