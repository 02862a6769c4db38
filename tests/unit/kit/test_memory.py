"""What a burst of large blocks leaves behind."""

import os
import platform
import subprocess
import sys

import pytest

BURST = """
import re
from pathlib import Path
from whence.kit.memory import tune_allocator

def heap_bytes():
    start, end = re.search(r"([0-9a-f]+)-([0-9a-f]+) .*\\[heap\\]", Path("/proc/self/maps").read_text()).groups()
    return int(end, 16) - int(start, 16)

if {tuned}:
    tune_allocator()
bytes(30_000_000)
before = heap_bytes()
blocks = [bytes(1_000_000) for _ in range(50)]
print(heap_bytes() - before)
"""


def _heap_grown_bytes(*, tuned: bool) -> int:
    program = [sys.executable, "-c", BURST.format(tuned=tuned)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return int(subprocess.run(program, env=plain, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc moves its thresholds")
def test_large_blocks_stay_off_the_heap_after_a_larger_one_was_freed() -> None:
    assert _heap_grown_bytes(tuned=True) < 5_000_000
    assert _heap_grown_bytes(tuned=False) > 40_000_000
