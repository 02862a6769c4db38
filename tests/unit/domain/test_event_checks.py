"""The rules of events: every field, every limit, and that the fast way and the slow way agree."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whence.domain.errors import FieldProblem, InvalidEvent, InvalidInput, MalformedInput
from whence.domain.event_checks import check_backfill_name, check_document, check_event, read_json
from whence.domain.event_fields import FIELDS, EventRules, field_problems
from whence.domain.events import LoggedEvent, parse_event_types

NOW = datetime(2026, 10, 3, 12, 0, tzinfo=UTC)
TYPES = parse_event_types("view=1,purchase=5,dismiss=0")
LIVE = EventRules(TYPES, NOW)
BACKFILL = EventRules(TYPES, NOW, "march.csv")

EVENT: dict[str, Any] = {"event_type": "view", "user_id": "u1", "item_id": "i1"}
FULL: dict[str, Any] = EVENT | {
    "event_id": "e1",
    "session_id": "s1",
    "occurred_at": "2026-10-03T11:59:00.5+02:00",
    "value": 19.5,
    "quantity": 2,
    "recommendation_id": "rec_1",
    "position": 3,
    "surface": "home",
    "context": {"device": "phone", "tags": ["a", 1, None, True], "deep": {"x": 1.5}},
}


def check(document: Any, rules: EventRules = LIVE) -> LoggedEvent:
    return check_event(json.dumps(document).encode(), rules)


def problems(raw: bytes, rules: EventRules = LIVE) -> dict[str, FieldProblem]:
    with pytest.raises(InvalidEvent) as caught:
        check_event(raw, rules)
    return {problem.field: problem for problem in caught.value.problems}


def problems_of(changes: dict[str, Any], rules: EventRules = LIVE) -> dict[str, FieldProblem]:
    return problems(json.dumps(EVENT | changes).encode(), rules)


def test_a_full_event_arrives_field_by_field() -> None:
    event = check(FULL)
    assert msgspec.to_builtins(event) == FULL | {
        "occurred_at": "2026-10-03T11:59:00.500000+02:00",
        "received_at": "2026-10-03T12:00:00Z",
    }
    assert event.subject == "u1"


def test_the_log_reads_back_what_ingest_wrote() -> None:
    event = check(FULL, BACKFILL)
    assert msgspec.json.decode(msgspec.json.encode(event), type=LoggedEvent) == event
    assert event.backfill == "march.csv"


def test_a_session_stands_for_the_user_and_null_is_absent() -> None:
    event = check({"event_type": "view", "session_id": "s1", "item_id": "i1", "user_id": None, "context": None})
    assert event.subject == "s1"
    assert event.user_id is None


def test_who_and_what_are_required() -> None:
    found = problems(b'{"event_type": "view"}')
    assert list(found) == ["item_id", "user_id"]
    assert "session_id" in found["user_id"].problem
    assert list(problems(b"{}")) == ["event_type", "item_id", "user_id"]


def test_all_problems_are_named_at_once() -> None:
    found = problems_of({"event_type": "look", "user_id": "", "quantity": 0, "position": -1, "ietm_id": "x"})
    assert set(found) == {"event_type", "user_id", "quantity", "position", "ietm_id"}
    assert "view, purchase, dismiss" in found["event_type"].problem
    assert "did you mean item_id" in found["ietm_id"].problem


@pytest.mark.parametrize("name", ["user_id", "session_id", "item_id", "event_id", "recommendation_id", "surface"])
def test_ids_have_1_to_256_characters_and_none_that_would_hurt(name: str) -> None:
    for good in ("x", "x" * 256, "\U0001f381" * 256, "a/b", "...", "é ", "\x01"):
        assert getattr(check(EVENT | {name: good}), name) == good
    assert problems_of({name: "x" * 257})[name].limit == 256
    for bad in ("", "a\x00b", ".", "..", "\ud800", "a\udfffb", 5, 1.5, True, ["x"], {"x": 1}):
        assert list(problems_of({name: bad})) == [name]


def test_values_are_never_coerced() -> None:
    for name, wrong in [
        ("value", ["5", True, [5]]),
        ("quantity", ["5", True]),
        ("position", ["5", True, 5.0, 5.5]),
        ("occurred_at", [1790000000, 1.5, True, {}]),
        ("context", ["{}", [1], 5, False]),
        ("event_type", [5, ["view"]]),
    ]:
        for value in wrong:
            assert list(problems_of({name: value})) == [name], (name, value)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000])
def test_numbers_are_finite(number: str) -> None:
    body = json.dumps(EVENT)[:-1]
    assert list(problems(f'{body}, "value": {number}}}'.encode())) == ["value"]
    assert list(problems(f'{body}, "quantity": {number}}}'.encode())) == ["quantity"]
    assert list(problems(f'{body}, "context": {{"x": [{number}]}}}}'.encode())) == ["context"]


def test_a_number_beyond_a_double_fits_a_context_only() -> None:
    assert list(problems_of({"value": 10**400})) == ["value"]
    assert check(EVENT | {"context": {"x": 10**400}}).context == {"x": 10**400}


def test_zero_and_minus_zero_are_values_but_no_quantities() -> None:
    for number in ("0", "-0", "0.0", "-0.0", "-1", "-1e300"):
        body = json.dumps(EVENT)[:-1]
        assert check_event(f'{body}, "value": {number}}}'.encode(), LIVE).value == float(number)
        found = problems(f'{body}, "quantity": {number}}}'.encode())
        assert found["quantity"].limit == 0
    assert check(EVENT | {"quantity": 5e-324}).quantity == 5e-324


def test_positions_are_whole_numbers_of_32_bits() -> None:
    assert check(EVENT | {"position": 0}).position == 0
    assert check(EVENT | {"position": 2**31 - 1}).position == 2**31 - 1
    assert problems_of({"position": 2**31})["position"].limit == 2**31 - 1
    assert problems_of({"position": -1})["position"].limit == 0
    assert list(problems_of({"position": 10**30})) == ["position"]


NO_TIMES = ["2026-10-03", "03.10.2026 12:00", "2026-10-03T12:00:00", "2026-13-01T00:00:00Z", "1", "", "now", "\ud800"]


@pytest.mark.parametrize("text", NO_TIMES)
def test_times_are_rfc_3339_with_offset(text: str) -> None:
    assert list(problems_of({"occurred_at": text})) == ["occurred_at"]


def test_a_live_event_is_at_most_12_hours_old_and_60_seconds_ahead() -> None:
    def at(age: timedelta) -> dict[str, Any]:
        return {"occurred_at": (NOW - age).isoformat()}

    for age in (timedelta(hours=12), timedelta(seconds=-60), timedelta(0)):
        assert check(EVENT | at(age)).occurred_at == NOW - age
    old = problems_of(at(timedelta(hours=12, microseconds=1)))["occurred_at"]
    assert old.limit == 43_200
    assert "backfill" in old.problem
    ahead = problems_of(at(timedelta(seconds=-60, microseconds=-1)))["occurred_at"]
    assert ahead.limit == 60
    assert list(problems_of({"occurred_at": "0001-01-01T00:00:00+23:59"})) == ["occurred_at"]
    assert list(problems_of({"occurred_at": "9999-12-31T23:59:59-23:59"})) == ["occurred_at"]


def test_a_backfill_takes_any_age_and_demands_an_id() -> None:
    old = EVENT | {"occurred_at": "1971-01-01T00:00:00Z"}
    assert list(problems_of(old, BACKFILL)) == ["event_id"]
    assert check(old | {"event_id": "e"}, BACKFILL).backfill == "march.csv"
    for time in ("1969-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2026-10-03T12:01:01Z"):
        assert list(problems_of({"occurred_at": time, "event_id": "e"}, BACKFILL)) == ["occurred_at"]


def test_an_event_has_at_most_10_kilobytes_and_its_context_2() -> None:
    room = 10_240 - len(json.dumps(EVENT))
    assert check_event(json.dumps(EVENT).encode() + b" " * room, LIVE)
    found = problems(json.dumps(EVENT).encode() + b" " * (room + 1))
    assert found[""].limit == 10_240
    assert check(EVENT | {"context": {"x": "y" * (2048 - len('{"x":""}'))}})
    assert problems_of({"context": {"x": "y" * (2049 - len('{"x":""}'))}})["context"].limit == 2048
    both = problems(json.dumps(EVENT | {"context": {"x": "y" * 11_000}, "user_id": 5}).encode())
    assert set(both) == {"", "context", "user_id"}


def nested(depth: int) -> str:
    return '{"x":' * (depth - 1) + "{}" + "}" * (depth - 1)


def test_a_context_is_at_most_16_deep() -> None:
    body = json.dumps(EVENT)[:-1]
    assert check_event(f'{body}, "context": {nested(16)}}}'.encode(), LIVE)
    assert problems(f'{body}, "context": {nested(17)}}}'.encode())["context"].limit == 16
    wide = EVENT | {"context": {"list": [[]] * 100}}
    assert check(wide)


def test_what_is_not_json_is_malformed() -> None:
    for raw in (b"", b"{", b"nul", b"{} {}", b'{"user_id": "\xff"}', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00", b"'"):
        with pytest.raises(MalformedInput):
            check_event(raw, LIVE)
    for raw in (b"[" * 100_000, b'{"context":' * 50_000 + b"1" + b"}" * 50_000):
        with pytest.raises(MalformedInput, match="nested too deeply"):
            check_event(raw, LIVE)


def test_what_is_json_but_no_object_is_no_event() -> None:
    for raw in (b"[]", b"5", b'"x"', b"null", b"true"):
        assert list(problems(raw)) == [""]


def test_the_last_of_a_field_given_twice_counts() -> None:
    assert check_event(b'{"event_type":"view","item_id":5,"item_id":"i2","user_id":"u"}', LIVE).item_id == "i2"
    assert check_event(b'{"event_type":"view","item_id":"i1","item_id":"i2","user_id":"u"}', LIVE).item_id == "i2"


def test_backfill_names() -> None:
    for name in ("a", "march 2026 (1).csv", "ä" * 64):
        assert check_backfill_name(name) == name
    for name in ("", "x" * 65, "a\nb", "\x7f", "\ud800"):
        with pytest.raises(InvalidInput):
            check_backfill_name(name)


texts = st.one_of(
    st.text(max_size=4), st.sampled_from([".", "..", "\x00", "\ud800", "x" * 256, "x" * 257, "view", "purchase"])
)
times = st.one_of(
    st.datetimes(timezones=st.sampled_from([UTC, None])).map(datetime.isoformat),
    st.timedeltas(timedelta(hours=-13), timedelta(minutes=2)).map(lambda delta: (NOW + delta).isoformat()),
    st.sampled_from(["2026-10-03T12:00:00Z", "2026-10-03 12:00:00z", "2026-10-03T12:00:60Z", "2026-10-03T12:00Z"]),
)
numbers = st.one_of(
    st.integers(-(10**25), 10**25),
    st.integers(-3, 3),
    st.floats(),
    st.sampled_from([2**31, 2**31 - 1, 10**310, -0.0]),
)
values = st.one_of(texts, times, numbers, st.booleans(), st.none(), st.lists(st.integers(), max_size=2))
contexts = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=20,
)
documents = st.one_of(
    st.fixed_dictionaries(
        {"event_type": st.sampled_from(["view", "look"]), "item_id": texts},
        optional={
            "user_id": texts,
            "session_id": texts,
            "event_id": texts,
            "occurred_at": times,
            "value": numbers,
            "quantity": numbers,
            "position": numbers,
            "surface": texts,
            "recommendation_id": texts,
            "context": st.dictionaries(st.text(max_size=3), contexts, max_size=3),
        },
    ),
    st.dictionaries(st.sampled_from([*FIELDS, "received_at", "backfill", "x"]), values, max_size=6),
    values,
)


def outcome(way: Any) -> Any:
    try:
        return way()
    except (InvalidEvent, MalformedInput) as error:
        return sorted(problem.field for problem in error.problems)


def is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(document=documents, rules=st.sampled_from([LIVE, BACKFILL]), escape=st.booleans())
@example(document=EVENT | {"value": math.nan}, rules=LIVE, escape=True)
@example(document=EVENT | {"context": {"x": "\ud800"}}, rules=LIVE, escape=True)
@example(document=EVENT | {"context": {"x": 10**2100}}, rules=LIVE, escape=True)
def test_the_fast_way_and_the_slow_way_agree(document: Any, rules: EventRules, escape: bool) -> None:
    raw = json.dumps(document, ensure_ascii=escape).encode("utf-8", "surrogatepass")
    if not is_utf_8(raw):
        with pytest.raises(MalformedInput):
            check_event(raw, rules)
        return
    fast, slow = outcome(lambda: check_event(raw, rules)), outcome(lambda: check_document(read_json(raw), rules, 0))
    assert fast == slow
    if isinstance(document, dict):
        given_fields = {name: value for name, value in read_json(raw).items() if value is not None}
        assert isinstance(fast, LoggedEvent) == (not field_problems(given_fields, rules))
