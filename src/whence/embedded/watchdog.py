"""A watchdog that stops a server when its supervisor is gone, however it went.

A parent-death signal is lost when a process changes its user, so a small shell waits on a pipe whose other end only
the supervisor holds.
"""

import os
import pwd
import signal
import subprocess

_SCRIPT = 'trap "" HUP INT TERM; read -r _; kill -"$2" "$1"'


class Watchdog:
    """Sends a signal to a process as soon as this process has ended."""

    def __init__(self, pid: int, user: str | None, number: signal.Signals) -> None:
        """Watch over *pid* (which runs as *user*, None: as we do), which *number* asks to stop."""
        reading, self._holding = os.pipe()
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, "whence-watchdog", str(pid), str(number.value)],
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
                start_new_session=True,
            )
        finally:
            os.close(reading)

    def dismiss(self) -> None:
        """End the watch without a signal."""
        self._shell.send_signal(signal.SIGKILL)
        self._shell.wait()
        os.close(self._holding)
