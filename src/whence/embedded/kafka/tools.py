"""Kafka's own command-line tools, as small scripts beside the jars under the names that its documentation uses."""

import shlex
from pathlib import Path

TOOLS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-get-offsets.sh": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records.sh": "org.apache.kafka.tools.DeleteRecordsCommand",
}
"""Script names and the classes behind them."""

LOG_LEVEL = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


def write_tools(home: Path) -> Path:
    """Write the scripts into `<home>/bin`; the folder."""
    folder = home.resolve() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    classpath = shlex.quote(f"{home.resolve() / 'libs'}/*")
    for name, main_class in TOOLS.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec java -Xmx256m {LOG_LEVEL} -cp {classpath} {main_class} "$@"\n')
        script.chmod(0o755)
    return folder
