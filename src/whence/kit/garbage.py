"""Python's garbage collector, set for services: they live long and make many short-lived objects without cycles."""

import gc

YOUNG_OBJECTS = 50_000
"""New objects between two collections of the youngest: the default of 700 runs one every few requests or records."""

YOUNG_COLLECTIONS = 20
"""Collections of a generation before the next older one is looked at as well."""


def tune_garbage_collection() -> None:
    """Call once a service is built: what exists now lives as long as the process and is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_COLLECTIONS, YOUNG_COLLECTIONS)
