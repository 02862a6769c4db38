"""Which rules for the position are safe, over every interleaving of the model."""

import pytest

from unit.models.fencing import SAFE, UNSAFE, Rule, check


@pytest.mark.parametrize("rule", UNSAFE, ids=lambda rule: rule.name)
def test_an_unsafe_rule_double_counts_within_eight_steps(rule: Rule) -> None:
    verdict = check(rule)

    assert verdict.violation is not None
    assert len(verdict.violation) <= 8


@pytest.mark.parametrize("rule", SAFE, ids=lambda rule: rule.name)
def test_a_safe_rule_never_counts_twice_and_never_loses(rule: Rule) -> None:
    verdict = check(rule)

    assert verdict.violation is None
    assert verdict.states > 1_000
