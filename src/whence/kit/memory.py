"""Memory of services: they live long, make many short-lived objects, and have bursts that shall leave nothing."""

import ctypes
import gc
from contextlib import suppress

YOUNG_OBJECTS = 50_000
"""New objects between two collections of the youngest: the default of 700 runs one every few requests or records."""

YOUNG_COLLECTIONS = 20
"""Collections of a generation before the next older one is looked at as well."""

TRIM_BYTES = 128 * 1024
"""Free memory at the heap's end from which glibc gives it back, and the size from which a block is mapped by itself."""

_M_TRIM_THRESHOLD = -1


def tune_garbage_collection() -> None:
    """Call once a service is built: what exists now lives as long as the process and is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, YOUNG_COLLECTIONS)


def tune_allocator() -> None:
    """Call before anything large is allocated: keeps glibc from raising its thresholds.

    By itself it raises both to the size of the largest block that was freed, up to 32 MiB. Then large blocks lie among
    small ones on the heap, which can never shrink again: an aggregator that had worked a backlog off held half as much
    again (measured). Other C libraries have no such thresholds. Source: mallopt(3).
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)
