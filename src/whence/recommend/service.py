"""Everything that the routes use, put together once."""

from dataclasses import dataclass

from whence.kit.clock import Clock
from whence.recommend.answer import Answers, ListSettings
from whence.recommend.database import Database
from whence.recommend.served import ServedLists


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of `recommend`.

    Attributes:
        surfaces: The declared ones, the default first.
    """

    database: Database
    answers: Answers
    served: ServedLists
    settings: ListSettings
    surfaces: tuple[str, ...]
    clock: Clock


def of(service: Service | None) -> Service:
    """The service of a router; a router without one is good for its description only."""
    if service is None:
        raise RuntimeError("these routes were made for their description only")
    return service
