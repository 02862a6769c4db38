"""A Kafka cluster on one machine: one node, or three with replication 3."""

import base64
import json
import os
import secrets
import socket
import time
from pathlib import Path

from whence.domain.errors import BrokenInvariant, DependencyUnavailable
from whence.embedded.kafka.broker import (
    Node,
    format_storage,
    log_tail,
    running_pid,
    start_node,
    stop_nodes,
    write_properties,
)
from whence.embedded.kafka.jars import bring_jars
from whence.embedded.processes import listens

MAX_BROKERS = 3
"""More nodes than this show nothing that three do not, and each takes about 350 MB."""

START_SECONDS = 120
"""A node is up in 3 s on an idle machine, three in 15 s; a loaded one takes longer."""


class KafkaCluster:
    """A cluster in a folder: `start` brings, formats and runs it; a second start finds it running.

    Args:
        home: Folder of jars and data.
        brokers: 1 to 3 nodes; counts when the cluster is made, later starts keep its number.
        extra: More of Kafka's own settings for every node.
    """

    def __init__(
        self, home: Path, brokers: int = 1, extra: dict[str, str] | None = None, jars_home: Path | None = None
    ) -> None:
        if not 1 <= brokers <= MAX_BROKERS:
            raise BrokenInvariant(f"a cluster has 1 to {MAX_BROKERS} brokers")
        self._home = home.resolve()
        self._jars_home = (jars_home or home).resolve()
        self._extra = extra or {}
        self._plan = self._home / "cluster.json"
        self._wanted_brokers = brokers
        self.nodes: list[Node] = []

    @property
    def bootstrap(self) -> str:
        """`host:port[,host:port…]` for clients; empty before the first start."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> str:
        """Bring the cluster up and wait until every node serves.

        Returns:
            The bootstrap servers.

        Raises:
            DependencyUnavailable: If Java, Maven or the jars are missing, or a node does not come up.
        """
        self.launch()
        self.wait_until_ready()
        return self.bootstrap

    def launch(self) -> None:
        """Start the nodes that do not run.

        The first time, a cluster of which nothing runs gives ports up that somebody else has taken since; later its
        clients know them.

        Raises:
            DependencyUnavailable: If Java, Maven or the jars are missing.
        """
        jars = bring_jars(self._jars_home)
        known = bool(self.nodes)
        cluster_id = self._load_plan()
        if not known and not self.running_nodes() and not all(_is_free(port) for port in _ports(self.nodes)):
            self._write_plan(cluster_id, len(self.nodes))
            self._load_plan()
        for node in self.nodes:
            if running_pid(node) is None:
                write_properties(node, self.nodes, self._extra)
                format_storage(jars, node, cluster_id)
        for node in self.nodes:
            self.start_node(node)

    def wait_until_ready(self) -> None:
        """Wait until every node serves.

        Raises:
            DependencyUnavailable: If one does not come up.
        """
        for node in self.nodes:
            self._wait(node)

    def running_nodes(self) -> list[Node]:
        """The nodes of the cluster that was made here whose processes run."""
        if not self._plan.is_file():
            return []
        self._load_plan()
        return [node for node in self.nodes if running_pid(node) is not None]

    def start_node(self, node: Node) -> None:
        """Start one node if it does not run."""
        if running_pid(node) is None:
            start_node(self._jars_home / "libs", node)

    def stop(self, *, at_once: bool = False) -> None:
        """Stop every node and wait; *at_once* kills them."""
        if self._plan.is_file():
            self._load_plan()
        stop_nodes(self.nodes, at_once=at_once)

    def _load_plan(self) -> str:
        """Read, or make and keep, the cluster's id and its nodes' ports."""
        if not self._plan.is_file():
            cluster_id = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
            self._write_plan(cluster_id, self._wanted_brokers)
        plan = json.loads(self._plan.read_text())
        self.nodes = [
            Node(number, port, controller_port, self._home / f"node{number}")
            for number, (port, controller_port) in enumerate(plan["ports"], start=1)
        ]
        return str(plan["cluster_id"])

    def _write_plan(self, cluster_id: str, brokers: int) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        ports = free_ports(2 * brokers)
        plan = {"cluster_id": cluster_id, "ports": list(zip(ports[::2], ports[1::2], strict=True))}
        draft = self._plan.with_suffix(".new")
        draft.write_text(json.dumps(plan))
        draft.replace(self._plan)

    def _wait(self, node: Node) -> None:
        deadline = time.monotonic() + START_SECONDS
        while (pid := running_pid(node)) is None or not listens(pid, node.port):
            if pid is None or time.monotonic() > deadline:
                self.stop(at_once=True)
                raise DependencyUnavailable("kafka", f"Kafka node {node.number} did not come up:\n{log_tail(node)}")
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that were free at this moment, below the range of outgoing connections."""
    found: list[int] = []
    start = 20_000 + os.getpid() % 8_000
    for port in range(start, 32_000):
        if len(found) == count:
            return found
        if _is_free(port):
            found.append(port)
    raise DependencyUnavailable("kafka", "no free ports between 20000 and 32000 on 127.0.0.1")


def _ports(nodes: list[Node]) -> list[int]:
    return [port for node in nodes for port in (node.port, node.controller_port)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True
