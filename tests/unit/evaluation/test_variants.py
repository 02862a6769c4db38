"""What `--variants` understands."""

import pytest

from whence.domain.blend_weights import BlendWeights
from whence.domain.errors import InvalidInput
from whence.domain.events import parse_event_types
from whence.evaluation.variants import parse_variants

TYPES = parse_event_types("view=1,purchase=5,dismiss=0")
DEPLOYED = BlendWeights(short=0.9)


def test_without_words_the_product_stands_beside_the_baselines() -> None:
    comparison = parse_variants([], DEPLOYED, TYPES)

    assert [(one.name, one.mixture) for one in comparison.variants] == [("whence", DEPLOYED)]
    assert comparison.baselines == ("popularity", "own_scores")


def test_a_variant_changes_what_it_names_and_keeps_the_rest() -> None:
    words = ["no-trend", "mine:own=0.6,purchase=12", "no-refined:long=0.46"]
    trendless, mine, counted = parse_variants(words, DEPLOYED, TYPES).variants

    assert trendless.mixture == BlendWeights(short=0.9, trend_6h=0, trend_1d=0, trend_7d=0)
    assert mine.mixture == BlendWeights(short=0.9, own=0.6)
    assert mine.weights == {"view": 1, "purchase": 12, "dismiss": 0}
    assert counted.mixture == BlendWeights(short=0.9, refined=0, long=0.46)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["nothing"], "'nothing' is not known (whence, popularity,"),
        (["x:shirt=1"], "x: shirt can not be changed; known are short,"),
        (["x:short"], "x: short needs a number"),
        (["x:short=-1"], "x: short must be 0, or from"),
        (["whence", "whence"], "whence is there twice"),
        ([f"v{n}:own=1" for n in range(33)], "at most 32 are compared"),
    ],
)
def test_what_is_wrong_is_told(words: list[str], problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_variants(words, DEPLOYED, TYPES)
    assert refused.value.problems[0].field == "--variants"
    assert problem in refused.value.problems[0].problem
