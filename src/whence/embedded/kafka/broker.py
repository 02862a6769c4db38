"""One Kafka node, broker and controller in one process (KRaft)."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from whence.domain.errors import DependencyUnavailable
from whence.embedded.logfile import LOG_BYTES_MAX

HEAP_MB = 320
"""Java heap of a node: enough for thousands of records a second on one machine, small enough for a laptop."""

STOP_SECONDS = 6
"""An ordered stop that takes longer ends with a kill (the last nodes of a cluster wait for a quorum that is gone); the
log recovers at the next start."""


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node lives: its number, its ports on the loopback interface, its folder."""

    number: int
    port: int
    controller_port: int
    folder: Path

    @property
    def pid_file(self) -> Path:
        """Holds the process id while the node runs."""
        return self.folder / "pid"

    @property
    def properties_file(self) -> Path:
        """Kafka's own settings file."""
        return self.folder / "server.properties"

    @property
    def data(self) -> Path:
        """Topics and the cluster's metadata."""
        return self.folder / "data"

    @property
    def log_file(self) -> Path:
        """What the node says."""
        return self.folder / "log.txt"


def write_properties(node: Node, nodes: list[Node], extra: dict[str, str]) -> None:
    """Write the node's settings: one machine, replication as the cluster allows, never a topic by accident."""
    replication = min(3, len(nodes))
    settings = {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{n.number}@127.0.0.1:{n.controller_port}" for n in nodes),
        "listeners": f"PLAINTEXT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{node.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": node.data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": replication,
        "min.insync.replicas": 2 if replication == 3 else 1,
        "offsets.topic.replication.factor": replication,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replication,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replication,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "log.retention.check.interval.ms": 1000,
        "log.segment.delete.delay.ms": 1000,
        "broker.session.timeout.ms": 6000,
        "controlled.shutdown.enable": "true" if len(nodes) > 1 else "false",
        "num.network.threads": 2,
        "num.io.threads": 2,
    } | extra
    node.folder.mkdir(parents=True, exist_ok=True)
    node.properties_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def java(jars: Path, heap_mb: int, main_class: str, *arguments: str) -> list[str]:
    """The command line of one of Kafka's Java programs."""
    options = [
        f"-Xmx{heap_mb}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    return ["java", *options, "-cp", f"{jars}/*", main_class, *arguments]


def format_storage(jars: Path, node: Node, cluster_id: str) -> None:
    """Prepare the node's data folder; does nothing where it is prepared: Java alone takes a second to say so."""
    if (node.data / "meta.properties").is_file():
        return
    tool = "kafka.tools.StorageTool"
    # With "=", because an id may begin with "-".
    named = f"--cluster-id={cluster_id}"
    done = subprocess.run(
        java(jars, 128, tool, "format", "--ignore-formatted", "-c", str(node.properties_file), named),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DependencyUnavailable(
            "kafka", f"Kafka's storage cannot be formatted: {(done.stdout + done.stderr)[-2000:]}"
        )


def start_node(jars: Path, node: Node) -> None:
    """Start the node's process, apart from our terminal; whether it serves is asked over its port.

    A signal that we ignore is not ignored there: Java would keep to that, and not be asked to stop by it.
    """
    command = java(jars, HEAP_MB, "kafka.Kafka", str(node.properties_file))
    if node.log_file.exists() and node.log_file.stat().st_size > LOG_BYTES_MAX:
        node.log_file.replace(node.log_file.with_name("log.txt.1"))
    with node.log_file.open("ab") as output, Path(os.devnull).open("rb") as nothing:
        files = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number, file in enumerate((nothing, output, output))]
        pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=files,
            setsid=True,
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
        )
    node.pid_file.write_text(str(pid))


def running_pid(node: Node) -> int | None:
    """The process id of the node if it runs, told from a re-used id by its command line."""
    try:
        pid = int(node.pid_file.read_text())
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    # A process that is just being started shows an empty command line for a moment, a dead one until it is reaped.
    ours = str(node.properties_file).encode() in command or (not command and state not in "ZX")
    return pid if ours else None


def unnoted_pids(node: Node) -> list[int]:
    """Processes that run with the node's settings and that its pid file does not know: whoever started one of them
    was killed before it could note that."""
    known, wanted = running_pid(node), os.fsencode(node.properties_file)
    found = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _runs(entry, wanted)]
    return [pid for pid in found if pid != known]


def _runs(entry: Path, word: bytes) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False
    return word in words and b"kafka.Kafka" in words


def signal_node(node: Node, number: signal.Signals) -> None:
    """Send a signal to the node's process, if it runs."""
    pid = running_pid(node)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def stop_nodes(nodes: list[Node], *, at_once: bool = False) -> None:
    """Stop nodes together and wait until their processes are gone; *at_once* kills them."""
    for node in nodes:
        signal_node(node, signal.SIGKILL if at_once else signal.SIGTERM)
        signal_node(node, signal.SIGCONT)
    deadline = time.monotonic() + STOP_SECONDS
    while any(running_pid(node) is not None for node in nodes):
        if time.monotonic() > deadline:
            for node in nodes:
                signal_node(node, signal.SIGKILL)
        time.sleep(0.05)
    for node in nodes:
        node.pid_file.unlink(missing_ok=True)


def log_tail(node: Node, lines: int = 20) -> str:
    """The end of what the node logged."""
    try:
        return "\n".join(node.log_file.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
