"""New weights as people type them."""

import pytest

from whence.domain.errors import InvalidInput
from whence.domain.weights import parse_changes

KNOWN = ("view", "click", "purchase", "dismiss")


def problems(*words: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        parse_changes(words, KNOWN)
    return [str(problem) for problem in caught.value.problems]


def test_each_word_is_a_new_weight() -> None:
    assert parse_changes(["purchase=12", " view = -0.5 ", "dismiss=0"], KNOWN) == {
        "purchase": 12.0,
        "view": -0.5,
        "dismiss": 0.0,
    }
    assert parse_changes(["view=1e6", "click=-1e6"], KNOWN) == {"view": 1e6, "click": -1e6}


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e7", "-1000001", "", "many", "1e999", "0x10", "1,5"])
def test_only_finite_numbers_within_bounds_are_weights(number: str) -> None:
    assert problems(f"view={number}") == [
        f"view={number}: the weight must be a number from -1000000 to 1000000, not {number!r}"
    ]


def test_every_wrong_word_is_named_with_what_would_be_right() -> None:
    assert problems("purchse=12", "stare=1", "view", "click=1", "click=2") == [
        "purchse=12: 'purchse' is no event type of this installation; did you mean purchase?",
        "stare=1: 'stare' is no event type of this installation; there are view, click, purchase, dismiss",
        "view: say TYPE=W, as in purchase=12",
        "click=2: 'click' is named twice",
    ]
    assert problems() == ["TYPE=W: say which weights, as in purchase=12"]
