"""The arithmetic shown for each part of a score gives exactly that part when computed."""

from datetime import timedelta

from unit.domain.test_blend import NOW, WEIGHTS, once, recent
from whence.domain.arithmetic import expression
from whence.domain.blend import blend, mix, sources
from whence.domain.state import Refined, State

STATE = State(
    [recent(1), recent(2, NOW - timedelta(hours=2))],
    [once(1), once(1, "purchase", NOW - timedelta(days=30)), once(2, "cart", NOW - timedelta(hours=2))],
    neighbours={1: {2: 0.25, 3: 0.5}},
    refined={2: Refined({3: -0.125}, -0.125)},
    trends={"6h": {3: 0.1}, "7d": {1: 0.3}},
    bought={1: {3}},
)


def test_every_expression_gives_its_contribution() -> None:
    found = sources(STATE, WEIGHTS, NOW)
    mixer = mix(STATE, found)
    checked = 0
    for candidate in blend(STATE, WEIGHTS, NOW):
        for part in candidate.parts:
            text = expression(part, candidate.item_id, STATE, found, mixer)
            computed = eval(text, {"__builtins__": {}, "max": max})  # our own text, built of numbers
            assert abs(computed - part.contribution) < 1e-15, text
            checked += 1
    assert checked == 8


def test_an_expression_can_be_followed_by_hand() -> None:
    state = State([recent(1)], [once(1)])
    found = sources(state, WEIGHTS, NOW)
    ((part,),) = [candidate.parts for candidate in blend(state, WEIGHTS, NOW)]
    text = expression(part, 1, state, found, mix(state, found))
    assert text == "0.3 * (0.24 * 1.0 / (1.0 + 0.05) + 0.46 * 1.0 * 1.0 / 1.0)"
