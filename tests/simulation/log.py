"""The log and the ownership that the simulated consumers see, with their troubles."""

from collections.abc import Collection, Iterable

from fakes.eventlog import MemoryConsumer, MemoryLog
from simulation.world import World
from whence.domain.errors import DependencyUnavailable
from whence.eventlog.port import Record, Watermarks

MARKER_KEY = b"\x00marker"
"""Records with this key stand for offsets that hold none, such as transaction markers: consumers never see them."""

HOUR_US = 3_600_000_000


class SimulatedLog(MemoryLog):
    """A log whose clock jumps: by hours, now and then a little backwards."""

    def __init__(self, world: World, partitions: int) -> None:
        super().__init__(partitions)
        self._world = world
        self.ahead_us = 0

    def clock_us(self) -> int:
        """The log's clock."""
        jitter_us = self._world.chance.choice((0, 0, 0, -50_000_000))
        return self._world.now_us + self.ahead_us + jitter_us

    def end(self, partition: int) -> int:
        """The offset after the last record that consumers see."""
        offsets = [record.offset for record in self.records[partition] if record.key != MARKER_KEY]
        return offsets[-1] + 1 if offsets else 0


class SimulatedConsumer(MemoryConsumer):
    """Gives few records at a time, fails, and sometimes gives again what it gave before."""

    def __init__(self, log: SimulatedLog, world: World) -> None:
        super().__init__(log)
        self._world = world

    def poll(self, max_records: int, wait_seconds: float) -> list[Record]:
        """Whatever is there, without waiting in real time."""
        self._touch()
        if self._world.happens(0.02):
            self._positions = {number: max(0, start - 2) for number, start in self._positions.items()}
        records = self._take(min(max_records, self._world.chance.randint(1, 9)))
        if not records:
            self._world.now_us += int(wait_seconds * 1e6)
            self._world.pause()
        return [record for record in records if record.key != MARKER_KEY]

    def watermarks(self, partition: int) -> Watermarks:
        """What the partition can give."""
        self._touch()
        return super().watermarks(partition)

    def _touch(self) -> None:
        self._world.io()
        if self._world.happens(self._world.loss_chance):
            raise DependencyUnavailable("memory", "the log does not answer")


class Coordinator:
    """Who should read which partition. Whoever loses one learns of it late, as with real leases."""

    def __init__(self, world: World, partitions: int) -> None:
        self.world = world
        self.owners: dict[int, str | None] = dict.fromkeys(range(partitions))

    def move(self, names: list[str]) -> None:
        """Give a partition to somebody, perhaps to nobody."""
        partition = self.world.chance.choice(list(self.owners))
        self.owners[partition] = self.world.chance.choice([*names, None])

    def gone(self, name: str) -> None:
        """A member has left or died."""
        self.owners = {partition: None if owner == name else owner for partition, owner in self.owners.items()}


class SimulatedLeases:
    """`consumer.Ownership` of one process."""

    def __init__(self, coordinator: Coordinator, name: str) -> None:
        self._coordinator = coordinator
        self._name = name

    def surplus(self, keep: Collection[int]) -> frozenset[int]:
        """Sometimes something has to be given back."""
        owned = sorted(self._owned() - set(keep)) or self._owned()
        return frozenset(list(owned)[:1]) if self._coordinator.world.happens(0.05) else frozenset()

    def renew(self) -> frozenset[int]:
        """Claim what is free."""
        world = self._coordinator.world
        world.io()
        if world.happens(world.loss_chance):
            raise DependencyUnavailable("postgresql", "the leases cannot be renewed")
        for partition, owner in self._coordinator.owners.items():
            if owner is None:
                self._coordinator.owners[partition] = self._name
        return self._owned()

    def release(self, partitions: Iterable[int]) -> None:
        """Give back."""
        for partition in partitions:
            if self._coordinator.owners[partition] == self._name:
                self._coordinator.owners[partition] = None

    def _owned(self) -> frozenset[int]:
        owners = self._coordinator.owners
        return frozenset(partition for partition, owner in owners.items() if owner == self._name)
