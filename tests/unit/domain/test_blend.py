"""The score, with numbers worked out by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from whence.domain.blend import Candidate, Part, blend
from whence.domain.decay import log_contribution
from whence.domain.state import Recent, Refined, Signal, State, hidden_items, is_dismissed, unite

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
HALF_LIFE = timedelta(days=90)
HALF_AN_HOUR = timedelta(minutes=30)
WEIGHTS = {"view": 1.0, "cart": 3.0, "purchase": 5.0, "dismiss": 0.0}


def once(item_id: int, event_type: str = "view", at: datetime = NOW) -> Signal:
    return Signal(item_id, event_type, 1, log_contribution(at.timestamp()), at)


def recent(item_id: int, at: datetime = NOW) -> Recent:
    return Recent(item_id, at, 0)


def scores(candidates: list[Candidate]) -> dict[int, float]:
    return {candidate.item_id: candidate.score for candidate in candidates}


def test_nothing_known_gives_no_candidates() -> None:
    assert blend(State(), WEIGHTS, NOW) == []


def test_the_trends_alone_rank_everything_for_an_unknown_user() -> None:
    state = State(trends={"6h": {1: 0.5, 2: 0.5}, "1d": {2: 1.0}, "7d": {3: 1.0}})
    assert scores(blend(state, WEIGHTS, NOW)) == pytest.approx({2: 0.08 + 0.08, 1: 0.08, 3: 0.06})


def test_equal_scores_are_ordered_by_item() -> None:
    state = State(trends={"6h": {7: 0.1, 3: 0.1, 5: 0.1}})
    assert [candidate.item_id for candidate in blend(state, WEIGHTS, NOW)] == [3, 5, 7]


def test_a_single_fresh_view_gives_its_item_the_whole_self_term() -> None:
    state = State([recent(1)], [once(1)])
    (candidate,) = blend(state, WEIGHTS, NOW)
    assert candidate.score == pytest.approx(0.3 * (0.24 * 1 / 1.05 + 0.46 * 1))


def test_the_short_memory_halves_by_rank_and_by_half_hours() -> None:
    at = NOW - HALF_AN_HOUR
    state = State([recent(1), recent(2, at)], [once(1), once(2, at=at)])
    total = 1 + 0.5 * 0.5 + 0.05
    found = scores(blend(state, {}, NOW))  # no weights: the long memory says nothing
    assert found == pytest.approx({1: 0.3 * 0.24 / total, 2: 0.3 * 0.24 * 0.25 / total})


def test_the_long_memory_shares_by_weight_and_age() -> None:
    old = NOW - HALF_LIFE
    state = State([recent(1, old), recent(2, old)], [once(1, "purchase", old), once(2, "view", old)])
    found = scores(blend(state, WEIGHTS, NOW))
    assert found == pytest.approx({1: 0.3 * 0.46 * 5 / 6, 2: 0.3 * 0.46 * 1 / 6}, abs=1e-12)


def test_own_items_are_no_candidates_where_repeats_are_not_allowed() -> None:
    assert blend(State([recent(1)], [once(1)]), WEIGHTS, NOW, repeats=False) == []


def test_neighbours_get_both_memories_of_their_source() -> None:
    state = State([recent(1)], [once(1)], neighbours={1: {2: 0.5, 3: 0.25}})
    found = scores(blend(state, WEIGHTS, NOW, repeats=False))
    coefficient = 0.24 / 1.05 + 0.46
    assert found == pytest.approx({2: coefficient * 0.5, 3: coefficient * 0.25})


def test_a_pair_of_purchases_alone_is_named_so_and_counts_the_same() -> None:
    state = State([recent(1)], [once(1)], neighbours={1: {2: 0.5, 3: 0.5}}, bought={1: {3}, 4: {2}})
    (two,), (three,) = [candidate.parts for candidate in blend(state, WEIGHTS, NOW, repeats=False)]
    assert (two.code, two.probability) == ("co_viewed", 0.5)
    assert (three.code, three.probability) == ("co_bought", 0.5)
    assert two.contribution == three.contribution


def test_beside_refined_weights_the_long_memory_weighs_less_in_pairs_but_not_in_own_items() -> None:
    state = State([recent(1)], [once(1)], neighbours={1: {2: 1.0}}, refined={9: Refined({8: 1.0}, 1.0)})
    found = scores(blend(state, WEIGHTS, NOW))
    assert found == pytest.approx({1: 0.3 * (0.24 / 1.05 + 0.46), 2: 0.24 / 1.05 + 0.16})


def test_sums_of_pairs_run_over_sources_with_neighbours_and_keep_the_ranks() -> None:
    state = State([recent(1), recent(2)], [once(1), once(2)], neighbours={2: {3: 1.0}})
    found = scores(blend(state, WEIGHTS, NOW, repeats=False))
    assert found == pytest.approx({3: 0.24 * 0.5 / (0.5 + 0.05) + 0.46})


def test_refined_weights_are_damped_by_the_mass_of_all_newest_items() -> None:
    refined = {1: Refined({3: 0.5, 4: -0.5}, 2.0), 2: Refined({3: 0.25}, 1.0)}
    state = State([recent(1), recent(2), recent(5)], [once(1)], refined=refined)
    found = scores(blend(state, WEIGHTS, NOW, repeats=False))
    assert found == pytest.approx({3: 0.3 / 4 * 0.75, 4: -0.3 / 4 * 0.5})


def test_a_mass_far_below_zero_does_not_turn_the_refined_part_around() -> None:
    state = State([recent(1)], [once(1)], refined={1: Refined({3: 0.5}, -5.0)})
    assert scores(blend(state, WEIGHTS, NOW, repeats=False)) == pytest.approx({3: 0.3 / 0.1 * 0.5})


def test_a_negative_affinity_is_floored_at_zero_for_its_item_alone() -> None:
    state = State([recent(1), recent(2)], [once(1, "view"), once(2, "cart")])
    found = {c.item_id: c for c in blend(state, {"view": -1.0, "cart": 3.0}, NOW)}
    total = 1 + 0.5 + 0.05
    assert found[1].score == pytest.approx(0.3 * 0.24 / total)
    assert found[2].score == pytest.approx(0.3 * (0.24 * 0.5 / total + 0.46))


def test_a_negative_weight_subtracts_from_the_same_item() -> None:
    state = State([recent(1), recent(2)], [once(1, "cart"), once(1, "view"), once(2, "view")])
    found = {c.item_id: c for c in blend(state, {"view": -1.0, "cart": 3.0}, NOW)}
    parts = {part.event_type: part.contribution for part in found[1].parts}
    # Of one instant the first by name is the newest: the cart has the short memory.
    assert parts == pytest.approx({"cart": 0.3 * (0.24 / 1.55 + 0.46 * 3 / 2), "view": -0.3 * 0.46 / 2})


def test_events_later_than_the_moment_count_as_happening_at_it() -> None:
    later = NOW + timedelta(days=1)
    state = State([recent(1, later)], [once(1, at=later)])
    (candidate,) = blend(state, WEIGHTS, NOW)
    assert candidate.score == pytest.approx(0.3 * (0.24 / 1.05 + 0.46))


def test_only_the_newest_fifty_items_are_sources() -> None:
    recents = [recent(n, NOW - timedelta(seconds=n)) for n in range(64)]
    state = State(recents, [once(n) for n in range(64)], neighbours={50: {99: 1.0}})
    assert set(scores(blend(state, WEIGHTS, NOW))) == set(range(50))


def test_signals_of_a_user_and_a_session_on_one_item_add_up() -> None:
    earlier = NOW - timedelta(hours=1)
    state = State([recent(1)], [once(1), once(1, at=earlier)])
    ((part,),) = [candidate.parts for candidate in blend(state, WEIGHTS, NOW)]
    assert (part.event_type, part.count, part.last_at) == ("view", 2, NOW)


def test_a_pair_is_named_after_the_strongest_signal_of_its_source() -> None:
    state = State(
        [recent(1)],
        [once(1, "view"), once(1, "purchase", NOW - HALF_LIFE), once(1, "dismiss")],
        neighbours={1: {2: 0.5}},
    )
    (candidate,) = blend(state, WEIGHTS, NOW, repeats=False)
    assert [(part.code, part.source_id, part.event_type) for part in candidate.parts] == [("co_viewed", 1, "purchase")]


def test_the_short_memory_belongs_to_the_newest_signal() -> None:
    state = State([recent(1)], [once(1, "view"), once(1, "purchase", NOW - HALF_LIFE)])
    (candidate,) = blend(state, WEIGHTS, NOW)
    parts = {part.event_type: part.contribution for part in candidate.parts}
    assert parts == pytest.approx({"view": 0.3 * (0.24 / 1.05 + 0.46 * 1 / 3.5), "purchase": 0.3 * 0.46 * 2.5 / 3.5})


def test_parts_sum_to_the_score_and_none_is_zero() -> None:
    state = State(
        [recent(1), recent(2)],
        [once(1), once(2, "dismiss"), once(2)],
        {1: {2: 0.2, 3: 0.0}},
        {1: Refined({2: -0.1}, -0.1)},
        {"7d": {2: 0.4, 4: 0.0}},
    )
    for candidate in blend(state, WEIGHTS, NOW):
        assert sum(part.contribution for part in candidate.parts) == candidate.score
        assert all(part.contribution for part in candidate.parts)
    assert set(scores(blend(state, WEIGHTS, NOW))) == {1, 2}


def test_a_trend_part_carries_its_horizon() -> None:
    (candidate,) = blend(State(trends={"1d": {1: 0.5}}), WEIGHTS, NOW)
    assert candidate.parts == (Part("trending", 0.04, horizon="1d"),)


def test_a_dismissal_holds_until_a_later_positive_signal() -> None:
    earlier, later = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
    dismissed = once(1, "dismiss")
    assert is_dismissed([dismissed], WEIGHTS)
    assert is_dismissed([dismissed, once(1, at=earlier)], WEIGHTS)
    assert is_dismissed([dismissed, once(1, at=NOW)], WEIGHTS)
    assert not is_dismissed([dismissed, once(1, at=later)], WEIGHTS)
    assert is_dismissed([dismissed, once(1, at=later)], {"view": 0.0})
    assert not is_dismissed([once(1)], WEIGHTS)


def test_policies_hide_what_was_bought_or_touched() -> None:
    signals = [once(1, "view"), once(2, "purchase"), once(3, "dismiss")]
    assert hidden_items(signals, WEIGHTS, "none") == {3}
    assert hidden_items(signals, WEIGHTS, "purchased") == {2, 3}
    assert hidden_items(signals, WEIGHTS, "seen") == {1, 2, 3}


def test_united_recents_keep_each_item_once_at_its_newest() -> None:
    early, late = NOW - timedelta(hours=1), NOW
    united = unite([Recent(1, early, 5), Recent(2, late, 1), Recent(1, late, 1), Recent(3, late, 2)])
    assert united == [Recent(3, late, 2), Recent(1, late, 1), Recent(2, late, 1)]
    assert len(unite([recent(n) for n in range(80)])) == 50
