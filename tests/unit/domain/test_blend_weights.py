"""What the parts of a score weigh: the text form, its limits, and that each number matters where it says so."""

from datetime import timedelta

import pytest

from unit.domain.test_arithmetic import STATE
from unit.domain.test_blend import NOW, WEIGHTS
from whence.domain.blend import blend, mix, sources
from whence.domain.blend_weights import BlendWeights, parse_blend
from whence.domain.errors import InvalidInput


def test_the_text_says_what_differs_from_the_default_and_is_read_back() -> None:
    mixture = parse_blend(" short=0.5, rank_factor=0.8,trend_7d=0 ")

    assert mixture == BlendWeights(short=0.5, rank_factor=0.8, trend_7d=0)
    assert str(mixture) == "short=0.5,trend_7d=0,rank_factor=0.8"
    assert parse_blend(str(mixture)) == mixture
    assert (parse_blend(""), str(BlendWeights())) == (BlendWeights(), "")


@pytest.mark.parametrize(
    ("text", "field", "problem"),
    [
        ("shirt=1", "shirt", "is no number of the blend; known are short, long,"),
        ("short=much", "short", "needs a number, as in short=0.5"),
        ("short", "short", "needs a number, as in short=0.5"),
        ("short=1,short=2", "short", "is there twice"),
        ("short=-1", "short", "must be 0, or from 0.0001 to 100"),
        ("short=nan", "short", "must be 0, or from 0.0001 to 100"),
        ("long=1e-9", "long", "must be 0, or from 0.0001 to 100"),
        ("rank_factor=0.3", "rank_factor", "must be from 0.4 to 1"),
        ("short_half_life_minutes=0", "short_half_life_minutes", "must be from 0.1 to 100000"),
    ],
)
def test_what_is_wrong_is_told_with_its_limits(text: str, field: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_blend(text)
    assert refused.value.problems[0].field == field
    assert problem in refused.value.problems[0].problem


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("short", "co_bought"),
        ("long", "co_bought"),
        ("refined", "refined"),
        ("own", "own_signal"),
        ("long_alone", "own_signal"),
        ("trend_6h", "trending"),
        ("trend_7d", "trending"),
        ("short_half_life_minutes", "own_signal"),
        ("rank_factor", "own_signal"),
        ("short_damping", "own_signal"),
    ],
)
def test_each_number_changes_its_parts(name: str, code: str) -> None:
    later = NOW + timedelta(minutes=20)
    changed = BlendWeights().with_values({name: 0.9})

    def parts(mixture: BlendWeights) -> list[float]:
        found = blend(STATE, WEIGHTS, later, mixture)
        return sorted(part.contribution for one in found for part in one.parts if part.code == code)

    assert parts(changed) != pytest.approx(parts(BlendWeights()), rel=1e-3)
    assert mix(STATE, sources(STATE, WEIGHTS, later, changed), changed).weights is changed
