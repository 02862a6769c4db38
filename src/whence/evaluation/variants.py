"""What is compared: the product with its settings or with some changed, and the baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whence.domain.blend_weights import BlendWeights, blend_names, parse_numbers
from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import EventTypes
from whence.evaluation.baselines import Baseline, OwnScores, Popularity

PRODUCT = "whence"
TUNED = "tuned"
BASELINES: Mapping[str, type[Baseline]] = {"popularity": Popularity, "own_scores": OwnScores}
USUAL = (PRODUCT, *BASELINES)
"""What is compared unless something else is asked for."""

VARIANTS_MAX = 32
"""Each is asked before every event: more would take longer than running them in turn is worth."""

WITHOUT: Mapping[str, Mapping[str, float]] = {
    "no-short": {"short": 0},
    "no-long": {"long": 0, "long_alone": 0},
    "no-refined": {"refined": 0},
    "no-trend": {"trend_6h": 0, "trend_1d": 0, "trend_7d": 0},
}
"""Known by name: what one part of the blend is worth."""


@dataclass(frozen=True, slots=True)
class Variant:
    """The product with settings.

    Attributes:
        mixture: The blend.
        weights: Of the event types.
    """

    name: str
    mixture: BlendWeights
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one run compares."""

    variants: tuple[Variant, ...]
    baselines: tuple[str, ...]

    def with_variant(self, variant: Variant) -> "Comparison":
        """The same and one more."""
        return Comparison((*self.variants, variant), self.baselines)


def parse_variants(words: Sequence[str], mixture: BlendWeights, types: EventTypes) -> Comparison:
    """What `--variants` asks for.

    Args:
        words: Each `NAME` of the known ones, or `NAME:key=number,…` with numbers of the blend and weights of event
            types; none at all are the usual ones.
        mixture: What is not named is as in this blend.
        types: And as in these weights.

    Raises:
        InvalidInput: On an unknown name or key, a number that is none, a name twice, or too many.
    """
    named = [word.partition(":") for word in words or USUAL]
    names = [name for name, _, _ in named]
    if TUNED in names:
        raise InvalidInput([FieldProblem("--variants", f"{TUNED} is what --tune proposes; take another name")])
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput([FieldProblem("--variants", f"{twice[0]} is there twice")])
    if len(names) > VARIANTS_MAX:
        raise InvalidInput([FieldProblem("--variants", f"at most {VARIANTS_MAX} are compared", VARIANTS_MAX)])
    variants = [_variant(name, text, mixture, types) for name, _, text in named if name not in BASELINES or text]
    return Comparison(tuple(variants), tuple(name for name, _, text in named if name in BASELINES and not text))


def _variant(name: str, text: str, mixture: BlendWeights, types: EventTypes) -> Variant:
    if not text and name not in (PRODUCT, *WITHOUT):
        known = ", ".join((*USUAL, *WITHOUT))
        raise InvalidInput(
            [FieldProblem("--variants", f"{name!r} is not known ({known}); say what it changes, as {name}:short=0.5")]
        )
    try:
        values = dict(WITHOUT.get(name, {})) | parse_numbers(text)
        unknown = [key for key in values if key not in blend_names() and key not in types.weights]
        if unknown:
            known = ", ".join((*blend_names(), *types.names))
            raise InvalidInput([FieldProblem(unknown[0], f"can not be changed; known are {known}")])
        blended = mixture.with_values({key: value for key, value in values.items() if key in blend_names()})
    except InvalidInput as error:
        raise InvalidInput(
            [FieldProblem("--variants", f"{name}: {one.field} {one.problem}") for one in error.problems]
        ) from error
    weights = {type_name: values.get(type_name, weight) for type_name, weight in types.weights.items()}
    return Variant(name, blended, weights)
