"""A bounded memory of what was read from the database: two generations, the older one dropped as a whole."""

from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedMemory(Generic[K, V]):
    """Keeps at most *entries_max* entries; of those that were used lately at least half survive an eviction."""

    def __init__(self, entries_max: int) -> None:
        self._half = max(entries_max // 2, 1)
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: K) -> V | None:
        """What is remembered of *key*; using an entry keeps it longer."""
        value = self._young.get(key)
        if value is None and (value := self._old.get(key)) is not None:
            self.put(key, value)
        return value

    def get_all(self, keys: Iterable[K]) -> dict[K, V]:
        """What is remembered of those keys that are known; using an entry keeps it longer."""
        young = self._young
        return {
            key: value for key in keys if (value := young.get(key)) is not None or (value := self.get(key)) is not None
        }

    def put(self, key: K, value: V) -> None:
        """Remember. (A former value may stay in the old generation for a while: the young one is asked first.)"""
        self._young[key] = value
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}

    def update(self, entries: Iterable[tuple[K, V]]) -> None:
        """Remember several."""
        for key, value in entries:
            self.put(key, value)

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}
