"""What the parts of a score weigh against each other: few numbers, measured as one default for all, and tunable.

They are applied at read, so that other ones count for the whole history at once and nothing is computed anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.state import Horizon

WEIGHT_MAX = 100.0
WEIGHT_MIN = 1e-4
"""A weight is 0 or at least this, so that products of floats stay above the range's end."""

_RANGES: Mapping[str, tuple[float, float]] = {
    "short_half_life_minutes": (0.1, 100_000.0),
    "short_damping": (0.001, 100.0),
    "rank_factor": (0.4, 1.0),
}
"""The limits of what is no weight; 0.4^49 stays above the range's end after a decay, too."""


@dataclass(frozen=True, slots=True)
class BlendWeights:
    """The numbers of the blend (`whence.domain.blend` has the formula).

    Attributes:
        short: Of the short memory, in what is touched together with the user's items.
        long: Of the long memory there.
        long_alone: The same while no refined neighbours were ever fitted, and always in the user's own items.
        refined: Of the refined neighbours.
        own: Of the user's own items, where repeats are allowed (rho).
        trend_6h, trend_1d, trend_7d: Of the trends.
        short_half_life_minutes: How fast the short memory fades.
        short_damping: Lets it fade altogether when the user comes back after hours.
        rank_factor: What each newer item leaves of an item's short memory.
    """

    short: float = 0.24
    long: float = 0.16
    long_alone: float = 0.46
    refined: float = 0.30
    own: float = 0.30
    trend_6h: float = 0.16
    trend_1d: float = 0.08
    trend_7d: float = 0.06
    short_half_life_minutes: float = 30.0
    short_damping: float = 0.05
    rank_factor: float = 0.5

    @property
    def trends(self) -> Mapping[Horizon, float]:
        """The weights of the trends by horizon."""
        return {"6h": self.trend_6h, "1d": self.trend_1d, "7d": self.trend_7d}

    @property
    def short_half_life_seconds(self) -> float:
        """How fast the short memory fades, in seconds."""
        return self.short_half_life_minutes * 60.0

    def with_values(self, values: Mapping[str, float]) -> Self:
        """The same with some numbers changed; *values* by name.

        Raises:
            InvalidInput: On an unknown name, or a number outside its limits.
        """
        problems = [problem for name, value in values.items() if (problem := _problem(name, value))]
        if problems:
            raise InvalidInput(problems)
        return type(self)(**{name: getattr(self, name) for name in blend_names()} | dict(values))

    def differences(self) -> dict[str, float]:
        """The numbers that are not the default ones, by name."""
        default = type(self)()
        found = {name: float(getattr(self, name)) for name in blend_names()}
        return {name: value for name, value in found.items() if value != getattr(default, name)}

    def __str__(self) -> str:
        """As `parse_blend` reads it: what differs from the default."""
        return ",".join(f"{name}={value:g}" for name, value in self.differences().items())


def blend_names() -> tuple[str, ...]:
    """The names of all numbers."""
    return tuple(field.name for field in fields(BlendWeights))


def parse_blend(text: str) -> BlendWeights:
    """The blend that `name=number,name=number` says; what is not named is the default.

    Raises:
        InvalidInput: On an unknown name, or a number that is none or outside its limits.
    """
    return BlendWeights().with_values(parse_numbers(text))


def parse_numbers(text: str) -> dict[str, float]:
    """The numbers by name of `name=number,name=number`.

    Raises:
        InvalidInput: On an entry that is no such pair, or a name twice.
    """
    found: dict[str, float] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (part.strip() for part in entry.partition("="))
        try:
            value = float(number)
        except ValueError as error:
            raise InvalidInput([FieldProblem(name, f"needs a number, as in {name or 'short'}=0.5")]) from error
        if name in found:
            raise InvalidInput([FieldProblem(name, "is there twice")])
        found[name] = value
    return found


def _problem(name: str, value: float) -> FieldProblem | None:
    if name not in blend_names():
        return FieldProblem(name, f"is no number of the blend; known are {', '.join(blend_names())}")
    if name in _RANGES:
        low, high = _RANGES[name]
        return None if low <= value <= high else FieldProblem(name, f"must be from {low:g} to {high:g}")
    if value == 0 or WEIGHT_MIN <= value <= WEIGHT_MAX:
        return None
    return FieldProblem(name, f"must be 0, or from {WEIGHT_MIN:g} to {WEIGHT_MAX:g}")


DEFAULT_BLEND = BlendWeights()
