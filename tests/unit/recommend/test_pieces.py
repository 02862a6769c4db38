"""Small decisions of `recommend`: outcomes, positions, cursors, ids, days."""

import contextlib
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.domain.errors import InvalidInput
from whence.domain.identity import new_event_id
from whence.domain.partition import partition_of
from whence.domain.tokens import FreshnessToken
from whence.recommend.app import app_metrics
from whence.recommend.database import Database
from whence.recommend.freshness import Positions
from whence.recommend.read import usable_weights
from whence.recommend.render import outcome_of
from whence.recommend.served import (
    QUEUE_BYTES_MAX,
    ServedList,
    ServedLists,
    partition_name,
    recommendation_id,
    served_at,
    wanted_days,
)
from whence.recommend.signals import Place, parse_cursor


@pytest.mark.parametrize(
    ("count", "filtered", "outcome"),
    [
        (10, True, ("full", None)),
        (10, False, ("full", None)),
        (3, False, ("short", "few_items_available")),
        (3, True, ("short", "filters_left_few")),
        (0, False, ("empty", "no_items_available")),
        (0, True, ("empty", "filters_left_none")),
    ],
)
def test_a_list_says_whether_it_is_as_long_as_asked_for(count: int, filtered: bool, outcome: object) -> None:
    assert outcome_of(count, 10, filtered=filtered) == outcome


def test_only_the_partitions_of_the_users_decide_whether_a_token_is_reached() -> None:
    mine, other = partition_of(b"u", 16), partition_of(b"v", 16)
    assert mine != other
    positions = Positions("0123abcd", 16, {mine: 5})
    assert positions.verdict(FreshnessToken("0123abcd", {mine: 5}), ["u"]) == "reached"
    assert positions.verdict(FreshnessToken("0123abcd", {mine: 6}), ["u"]) == "behind"
    assert positions.verdict(FreshnessToken("0123abcd", {other: 6}), ["u"]) == "reached"
    assert positions.verdict(FreshnessToken("0123abcd", {other: 6}), ["u", "v"]) == "behind"
    assert positions.verdict(FreshnessToken("ffffffff", {mine: 1}), ["u"]) == "foreign"
    assert Positions(None, None, {}).verdict(FreshnessToken("0123abcd", {mine: 0}), ["u"]) == "behind"


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001  # microseconds are what counts
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**15), 2**15 - 1),
)
def test_a_cursor_leads_back_to_its_place(moment: datetime, item: int, code: int) -> None:
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    place = Place(since // timedelta(microseconds=1), item, code)
    assert parse_cursor(place.cursor()) == place


@given(st.text(max_size=64))
def test_any_text_is_a_place_or_refused_by_name(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert parse_cursor(parse_cursor(text).cursor())


def test_the_id_of_a_list_carries_its_time() -> None:
    list_id = recommendation_id(new_event_id(1_795_780_800_123, b"0123456789"))
    assert list_id.startswith("rec_")
    assert served_at(list_id) == datetime(2026, 11, 27, 12, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "rec_", "rec_" + "g" * 32, "0" * 32, "rec_" + "f" * 32, "rec_" + "0" * 33])
def test_other_texts_carry_none(text: str) -> None:
    assert served_at(text) is None


def test_days_are_made_before_they_come() -> None:
    assert list(wanted_days(date(2026, 12, 31))) == [
        "served_list_20261230", "served_list_20261231", "served_list_20270101", "served_list_20270102",
    ]  # fmt: skip
    assert partition_name(date(2026, 1, 2)) < partition_name(date(2026, 1, 11)) < partition_name(date(2027, 1, 1))


def test_weights_that_are_as_good_as_zero_are_zero() -> None:
    assert usable_weights({"a": 1e-31, "b": -1e-31, "c": -2.0, "d": 0.0}) == {"a": 0.0, "b": 0.0, "c": -2.0, "d": 0.0}


def test_answers_that_pile_up_are_dropped_and_counted() -> None:
    metrics = app_metrics()
    lists = ServedLists(Database("postgresql://nowhere", "whence"), metrics)
    at = datetime(2026, 11, 27, tzinfo=UTC)
    for number in range(3):
        lists.keep(ServedList(f"rec_{number}", at, b"0" * (QUEUE_BYTES_MAX // 2)))
    text = metrics.render()[0].decode()
    assert 'whence_served_lists_dropped_total{reason="queue_full"} 1.0' in text
