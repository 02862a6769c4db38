"""What a child process says, kept in a file of bounded size."""

import threading
from pathlib import Path
from typing import BinaryIO

LOG_BYTES_MAX = 4 * 1024 * 1024
"""A log begins anew at this size; the one before is kept as `<name>.1`. Days of normal work, little on any disk."""

TAIL_LINES_MAX = 20
"""Lines of a log that an error message shows."""

_CHUNK_BYTES = 64 * 1024


class LogFile:
    """A log that one thread for each source appends to."""

    def __init__(self, path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._lock = threading.Lock()

    def follow(self, stream: BinaryIO) -> threading.Thread:
        """Append all that *stream* (a process's output, unbuffered) gives, in a thread that ends with it."""
        thread = threading.Thread(target=self._pump, args=(stream,), name=f"log {self.path.name}", daemon=True)
        thread.start()
        return thread

    def append(self, chunk: bytes) -> None:
        """Append, beginning a new file first when this one is full."""
        with self._lock:
            if self.path.exists() and self.path.stat().st_size + len(chunk) > self._bytes_max:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            with self.path.open("ab") as file:
                file.write(chunk)

    def tail(self, lines_max: int = TAIL_LINES_MAX) -> str:
        """The last lines, or "" if there are none."""
        if not self.path.exists():
            return ""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - _CHUNK_BYTES))
            text = file.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines_max:])

    def _pump(self, stream: BinaryIO) -> None:
        with stream:
            while chunk := stream.read(_CHUNK_BYTES):
                try:
                    self.append(chunk)
                except OSError:  # a full disk must not block the process that talks; go on reading
                    continue
