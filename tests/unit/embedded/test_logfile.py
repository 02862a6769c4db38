"""A log file keeps what a process says, and stays small."""

import os
from pathlib import Path

from whence.embedded.logfile import LogFile


def test_it_begins_anew_before_it_passes_its_size(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log", bytes_max=10)
    for chunk in (b"12345\n", b"678\n", b"abc\n", b"defghij\n"):
        log.append(chunk)
    assert log.path.read_bytes() == b"defghij\n"
    assert (tmp_path / "part.log.1").read_bytes() == b"abc\n"


def test_the_tail_is_its_last_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "part.log")
    assert log.tail() == ""
    log.append(b"first\nsecond\nthird \xff\n")
    assert log.tail(2) == "second\nthird \N{REPLACEMENT CHARACTER}"


def test_it_follows_a_stream_to_its_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = LogFile(tmp_path / "part.log")
    thread = log.follow(os.fdopen(reading, "rb", buffering=0))
    os.write(writing, b"said\n")
    os.close(writing)
    thread.join()
    assert log.tail() == "said"


def test_a_log_that_cannot_be_written_does_not_block_who_talks(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    thread = LogFile(tmp_path / "no such folder" / "part.log").follow(os.fdopen(reading, "rb", buffering=0))
    for _ in range(4):
        os.write(writing, b"x" * 65_536)  # as much as the pipe holds, each time
    os.close(writing)
    thread.join()
    assert list(tmp_path.iterdir()) == []
