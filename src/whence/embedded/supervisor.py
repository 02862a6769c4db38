"""The supervisor of one machine: stores, then services; watched, started again, stopped in order."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Self

from whence.domain.errors import DependencyUnavailable
from whence.embedded.child import Child, Command
from whence.embedded.environment import child_environment
from whence.embedded.processes import POLL_SECONDS, birth, stop_process
from whence.embedded.signals import StopSignals
from whence.embedded.state import Part, StateFolder
from whence.embedded.stores import EmbeddedLog, Stores, stop_stores
from whence.kit.listening import ANY_PORT, check_exposure, free_port, is_free
from whence.kit.settings import Settings

PORTS = {"ingest": 7071, "recommend": 7072, "aggregate": 7073}
"""The services and their usual ports."""

READY_SECONDS = 120.0
"""A service that is not ready by then, on however busy a machine, never will be."""

DRAIN_SECONDS = 12.0
"""Services end within 10 s of being asked; after this time they are killed. Nothing accepted is lost by that."""

WATCH_SECONDS = 0.2
"""How often the supervisor looks after its parts: a dead one is back in well under a second."""

RETRY_SECONDS = 5.0
"""Wait before another try to start a part again that cannot be started now."""

Prepare = Callable[[Settings], list[str]]
"""Brings the stores that the settings name to this version; says what was done."""

Report = Callable[[str], None]
"""Takes a line for people."""


class Supervisor:
    """Everything that `whence up` runs: started on entry, all of it stopped on exit, in order."""

    def __init__(
        self,
        settings: Settings,
        prepare: Prepare,
        report: Report,
        signals: StopSignals,
        log: EmbeddedLog = "postgresql",
    ) -> None:
        self._settings = settings
        self._prepare = prepare
        self._report = report
        self._signals = signals
        self._state = StateFolder(settings.state)
        self._stores = Stores(self._state, log)
        self._children: list[Child] = []
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> Self:
        """Start everything and return when all parts are ready.

        Raises:
            InvalidInput: A setting is wrong, or the state folder cannot be used.
            DependencyUnavailable: A part does not come up; the message ends with what it said.
            KeyboardInterrupt: A signal asked us to stop before that.
        """
        check_exposure(self._settings.host, self._settings.keys(), self._settings.insecure)
        is_free(self._settings.host, ANY_PORT)  # raises if that is no address of ours
        self._state.hold()
        try:
            stop_leftovers(self._state)
            self._start_stores()
            self._start_services()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def settings(self) -> Settings:
        """The settings in force, with the URLs of the embedded stores."""
        return self._settings

    def endpoints(self) -> dict[str, str | None]:
        """The content of `endpoints.json`."""
        urls = {child.name: child.url for child in self._children}
        database = self._settings.database_url
        log = self._settings.log_url or database
        return {**urls, "database_url": database, "cache_url": None, "log_url": log}

    def _start_stores(self) -> None:
        begun = time.monotonic()

        def started(part: Part) -> None:
            nonlocal begun
            self._note_parts()
            self._say_ready(part.name, part.url if part.port else self._state.postgres, begun)
            begun = time.monotonic()

        with self._signals.interrupting():
            self._settings = self._stores.start(self._settings, started)
        for step in self._prepare(self._settings):
            self._report(f"{'':<12}{step}")
        self._leave_if_asked()

    def _start_services(self) -> None:
        environment = child_environment(self._settings)
        taken: set[int] = set()
        for name, usual in PORTS.items():
            port = free_port(self._settings.host, usual, taken | (set(PORTS.values()) - {usual}))
            taken.add(port)
            child = Child(name, _serve(name), self._settings.host, port, environment, self._state.log(name))
            child.launch()
            self._children.append(child)
        self._note_parts()
        self._wait_until_ready()
        self._state.write_endpoints(self.endpoints())
        self._watcher.start()

    def _wait_until_ready(self) -> None:
        begun = time.monotonic()
        waiting = list(self._children)
        while waiting:
            self._leave_if_asked()
            for child in list(waiting):
                if child.is_ready():
                    waiting.remove(child)
                    self._say_ready(child.name, child.url, begun)
                elif child.tend(self._report):
                    self._note_parts()
            if waiting and time.monotonic() - begun > READY_SECONDS:
                late = waiting[0]
                raise DependencyUnavailable(
                    late.name,
                    f"{late.name} is not ready after {READY_SECONDS:g} s; its log ends with:\n{late.log_tail()}",
                )
            self._stopping.wait(WATCH_SECONDS / 4)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            try:
                self._tend_all()
            except (OSError, DependencyUnavailable) as error:  # no processes or no disk left; it may heal
                self._report(f"cannot start again what has ended: {error}")
                self._stopping.wait(RETRY_SECONDS)

    def _tend_all(self) -> None:
        if self._stores.tend(self._report):
            self._note_parts()
        if [child for child in self._children if child.tend(self._report)]:
            self._note_parts()

    def _note_parts(self) -> None:
        self._state.write_parts([*self._stores.parts, *(child.part for child in self._children)])

    def _say_ready(self, name: str, place: object, begun: float) -> None:
        self._report(f"{name:<12}{place}  ready after {time.monotonic() - begun:.1f} s")

    def _leave_if_asked(self) -> None:
        if self._signals.asked.is_set():
            raise KeyboardInterrupt

    def _stop(self) -> None:
        """Services first, so that what they have accepted reaches the stores; then the stores."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for child in self._children:
            child.ask_to_stop()
        deadline = time.monotonic() + DRAIN_SECONDS
        while not all(child.has_ended() for child in self._children):
            if time.monotonic() > deadline or self._signals.hurry.is_set():
                for child in self._children:
                    child.kill()
            time.sleep(POLL_SECONDS)
        self._stores.stop()
        self._state.forget_parts()
        self._state.let_go()


def _serve(name: str) -> Command:
    def command(host: str, port: int) -> list[str]:
        words = [sys.executable, "-P", "-m", "whence", "serve", name]
        return [*words, "--host", host, "--port", str(port), "--parent", str(os.getpid())]

    return command


def stop_leftovers(state: StateFolder) -> list[str]:
    """Stop what a supervisor that was killed has left running; the names of the parts that ran.

    The caller holds the state folder, or has made sure that nobody does.
    """
    left = [part for part in state.parts() if birth(part.pid) == part.born and part.pid != os.getpid()]
    for part in left:
        if part.name in PORTS:
            stop_process(part.pid, part.born, DRAIN_SECONDS)
    stop_stores(state)
    state.forget_parts()
    return [part.name for part in left]
