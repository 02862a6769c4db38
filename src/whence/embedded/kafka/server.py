"""One Kafka broker of our own, which goes down with the process that started it, however that ends."""

import shutil
import signal
from pathlib import Path

from whence.embedded.kafka.broker import STOP_SECONDS, running_pid, unnoted_pids
from whence.embedded.kafka.cluster import KafkaCluster
from whence.embedded.kafka.jars import bring_jars
from whence.embedded.processes import birth, stop_process
from whence.embedded.watchdog import Watchdog


class EmbeddedKafka:
    """The broker whose jars and data belong to one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._cluster = KafkaCluster(self._folder)
        self._watchdog: Watchdog | None = None

    @property
    def pid(self) -> int | None:
        """The broker's process while it runs under this object."""
        return running_pid(self._cluster.nodes[0]) if self._watchdog is not None else None

    def bring(self) -> None:
        """Bring Kafka's jars unless they are there.

        Raises:
            DependencyUnavailable: If Java or Maven is missing, or the download fails.
        """
        bring_jars(self._folder)

    def start(self) -> str:
        """Start the broker unless it runs, after stopping what an earlier process has left of it.

        Returns:
            `kafka://host:port` for clients; the same at every start by this object.

        Raises:
            DependencyUnavailable: If Java, Maven or the jars are missing, or it does not come up.
        """
        if self.pid is not None:
            return self._url()
        self.stop()
        try:
            self._cluster.launch()
            pid = running_pid(self._cluster.nodes[0])
            if pid is not None:
                self._watchdog = Watchdog(pid, None, signal.SIGTERM)
            self._cluster.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self._url()

    def stop(self) -> None:
        """Stop the broker in order, whoever started it, and wait until it is gone. Nothing to do is no error."""
        self._cluster.stop()
        for node in self._cluster.nodes:
            for pid in unnoted_pids(node):
                if (born := birth(pid)) is not None:
                    stop_process(pid, born, STOP_SECONDS)
        if self._watchdog is not None:
            self._watchdog.dismiss()
            self._watchdog = None

    def remove(self) -> None:
        """Stop the broker and delete its jars and data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self) -> str:
        return f"kafka://{self._cluster.bootstrap}"
