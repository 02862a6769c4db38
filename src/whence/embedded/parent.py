"""A child's bond to its supervisor: it is told to stop when the supervisor has ended, however that ended."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
"""prctl(2), Linux."""


def end_with_parent(parent: int) -> None:
    """Have the system send us SIGTERM when the process that started us, *parent*, ends; at once if it has ended."""
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
