"""Stopping and deleting what runs from a state folder, from another process."""

import os
import signal

from whence.domain.errors import DependencyUnavailable
from whence.embedded.kafka.broker import STOP_SECONDS as KAFKA_STOP_SECONDS
from whence.embedded.leftovers import FAST_STOP_SECONDS
from whence.embedded.processes import birth, wait_for_end
from whence.embedded.state import StateFolder
from whence.embedded.stores import remove_stores
from whence.embedded.supervisor import DRAIN_SECONDS, stop_leftovers

DOWN_SECONDS = DRAIN_SECONDS + KAFKA_STOP_SECONDS + FAST_STOP_SECONDS + 8.0
"""The supervisor's own waits together, and some for a busy machine."""


def stop_running(state: StateFolder) -> list[str]:
    """Stop the running `whence up` of the folder, or what a killed one has left.

    Returns:
        The names of the parts that ran.

    Raises:
        DependencyUnavailable: If it does not stop.
    """
    holder = state.holder()
    if holder is None:
        return stop_leftovers(state)
    names = [part.name for part in state.parts()]
    born = birth(holder)
    if born is not None:
        os.kill(holder, signal.SIGTERM)
        if not wait_for_end(holder, born, DOWN_SECONDS):
            raise DependencyUnavailable("supervisor", f"process {holder} does not stop; see {state.log('supervisor')}")
    return names


def remove_state(state: StateFolder) -> None:
    """Stop what runs and delete the folder's content."""
    stop_running(state)
    remove_stores(state)
    state.remove()
