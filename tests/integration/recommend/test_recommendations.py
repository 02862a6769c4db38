"""A user's list over the real application: shape, policies, filters, edges, and what it says about itself."""

import math
from datetime import timedelta

import psycopg
import pytest

from conftest import Installation
from integration.recommend.live import Recommend, running
from integration.recommend.states import NOW, Entry, Shop, signal, write_shop
from whence.domain.state import Recent, Signal, State
from whence.recommend.read import BEST_MAX

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TRENDS = {"6h": {1: 0.5, 2: 0.3, 3: 0.2}, "1d": {1: 0.4}, "7d": {4: 0.1}}


def user(*signals: Signal) -> State:
    """The state that signals leave, with their items as the newest ones."""
    touched = {s.item_id: max(o.last_at for o in signals if o.item_id == s.item_id) for s in signals}
    dismissed_only = {
        s.item_id for s in signals if all(o.event_type == "dismiss" for o in signals if o.item_id == s.item_id)
    }
    recents = [Recent(item, at, 0) for item, at in touched.items() if item not in dismissed_only]
    return State(recents=sorted(recents, key=lambda r: r.last_at, reverse=True), signals=signals)


BUYER = user(
    signal(3, "purchase", [NOW - n * DAY for n in range(3, 9)]),
    signal(2, "view", [NOW - HOUR]),
)


def shop(**users: State) -> Shop:
    return Shop(users=users, items=6, trends=TRENDS)  # type: ignore[arg-type]


def test_an_unknown_user_gets_what_is_active_now(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop())
    answer = recommend.ask("nobody", "limit=3")
    assert [item["item_id"] for item in answer["items"]] == ["i1", "i2", "i3"]
    assert answer["strategy"] == "trending"
    assert answer["outcome"] == "full"
    assert answer["items"][0]["explanation"] == "Trending: 50 % of the most recent activity was on it."
    assert answer["items"][0]["score"] == pytest.approx(0.16 * 0.5 + 0.08 * 0.4)


def test_a_known_user_gets_a_personal_list_with_reasons(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    answer = recommend.ask("u", "limit=2")
    assert answer["strategy"] == "personal"
    first = answer["items"][0]
    assert first["item_id"] == "i3"
    assert first["explanation"] == "Recommended because you bought it 6 times, last on 24 November."
    assert first["explanation_source"] == "template"
    strongest = first["evidence"][0]
    assert (strongest["code"], strongest["event_type"], strongest["count"]) == ("own_signal", "purchase", 6)
    assert strongest["last_at"] == "2026-11-24T12:00:00Z"
    assert strongest["share"] == pytest.approx(strongest["contribution"] / first["score"])


def test_pairs_are_named_with_their_probability(database: psycopg.Connection, recommend: Recommend) -> None:
    pairs = {3: {4: 0.5, 5: 0.25}}
    write_shop(database, Shop({"u": BUYER}, 6, neighbours=pairs, bought={3: {4}}))
    items = {item["item_id"]: item for item in recommend.ask("u", "exclude=seen&explain=full")["items"]}
    ((bought,), (viewed,)) = items["i4"]["evidence"], items["i5"]["evidence"]
    assert (bought["code"], bought["item_id"], bought["probability"]) == ("co_bought", "i3", 0.5)
    assert (viewed["code"], viewed["item_id"], viewed["probability"]) == ("co_viewed", "i3", 0.25)
    deed = "which you bought 6 times, last on 24 November."
    assert items["i4"]["explanation"] == f"Recommended because it was bought together with “i3”, {deed}"
    assert items["i5"]["explanation"] == f"Recommended because it was seen together with “i3”, {deed}"


def test_a_list_is_full_although_hundreds_of_better_items_may_not_be_shown(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    hidden = BEST_MAX + 20
    trend = {item: 1.0 / item for item in range(1, hidden + 31)}
    catalogue = {item: Entry(available=False) for item in range(1, hidden + 1)}
    write_shop(database, Shop({}, hidden + 40, trends={"6h": trend}, catalogue=catalogue))
    items = recommend.ask("nobody", "limit=32&explain=full")["items"]
    assert [item["item_id"] for item in items[:30]] == [f"i{n}" for n in range(hidden + 1, hidden + 31)]
    assert [item["evidence"][0]["code"] for item in items] == ["trending"] * 30 + ["known_item"] * 2


def test_the_answer_has_the_documented_shape(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    answer = recommend.send("GET", "/v1/users/u/recommendations?limit=1")
    assert answer.headers["x-whence-cache"] == "bypass"
    assert answer.headers["x-request-id"]
    document = answer.json()
    assert list(document) == [
        "recommendation_id", "user_id", "surface", "generated_at", "strategy", "recipe_version", "freshness", "outcome",
        "outcome_reason", "degraded", "refinement", "items",
    ]  # fmt: skip
    assert document["recommendation_id"].startswith("rec_")
    assert document["generated_at"] == "2026-11-27T12:00:00Z"
    assert document["freshness"] == {"token": None, "last_event_at": None}
    assert document["refinement"] == {"state": "off", "model": None}
    assert document["surface"] == "home"
    assert list(document["items"][0]) == [
        "item_id", "rank", "score", "base_rank", "explanation", "explanation_source", "evidence", "item",
    ]  # fmt: skip
    assert document["items"][0]["item"] is None


def test_a_catalogue_entry_is_shown_with_its_item(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({}, 6, trends=TRENDS, catalogue={1: Entry(categories=("toys",))}))  # type: ignore[arg-type]
    (item,) = recommend.ask("u", "limit=1")["items"]
    assert item["item"] == {
        "title": "Item 1", "description": None, "categories": ["toys"], "attributes": {}, "url": None,
        "image_url": None,
    }  # fmt: skip


@pytest.mark.parametrize(("explain", "parts"), [("none", 0), ("short", 3), ("full", 5)])
def test_explain_says_how_much_evidence_is_shown(
    database: psycopg.Connection, recommend: Recommend, explain: str, parts: int
) -> None:
    signals = [signal(1, kind, [NOW - age * HOUR]) for age, kind in enumerate(("view", "click", "purchase"))]
    write_shop(database, shop(u=user(*signals)))
    (item,) = recommend.ask("u", f"limit=1&explain={explain}")["items"]
    assert len(item["evidence"]) == parts
    assert (item["explanation"] is None) == (explain == "none")
    if explain == "full":
        assert math.fsum(p["contribution"] for p in item["evidence"]) == pytest.approx(item["score"], abs=1e-9)


def test_policies_leave_out_what_was_bought_or_seen(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    assert set(recommend.ids("u", "limit=4")) == {"i1", "i2", "i3", "i4"}
    assert "i3" not in recommend.ids("u", "limit=50&exclude=purchased")
    assert "i2" in recommend.ids("u", "limit=50&exclude=purchased")
    assert not {"i2", "i3"} & set(recommend.ids("u", "limit=50&exclude=seen"))


def test_a_dismissed_item_is_hidden_until_a_later_positive_signal(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    dismissed = signal(1, "dismiss", [NOW - HOUR])
    write_shop(database, shop(before=user(signal(1, "view", [NOW - 2 * HOUR]), dismissed), only=user(dismissed)))
    assert "i1" not in recommend.ids("before", "limit=50")
    assert "i1" not in recommend.ids("only", "limit=50")
    write_shop(database, shop(after=user(dismissed, signal(1, "view", [NOW - HOUR / 2]))))
    assert recommend.ids("after", "limit=1") == ["i1"]


def test_a_signal_of_a_type_without_positive_weight_does_not_take_a_dismissal_back(
    installation: Installation, database: psycopg.Connection
) -> None:
    state = user(signal(1, "dismiss", [NOW - HOUR]), signal(1, "view", [NOW]))
    write_shop(database, shop(u=state))
    with running(installation, event_types="view=0,click=1,cart=1,purchase=1,dismiss=0") as service:
        assert "i1" not in service.ids("u", "limit=50")


def test_unavailable_and_deleted_items_are_never_shown(database: psycopg.Connection, recommend: Recommend) -> None:
    catalogue = {1: Entry(available=False), 2: Entry(deleted=True), 3: Entry()}
    write_shop(database, Shop({"u": BUYER}, 6, trends=TRENDS, catalogue=catalogue))  # type: ignore[arg-type]
    assert set(recommend.ids("u", "limit=50")) == {"i3", "i4", "i5", "i6"}


def test_items_without_entry_can_be_hidden(installation: Installation, database: psycopg.Connection) -> None:
    write_shop(database, Shop({"u": BUYER}, 6, trends=TRENDS, catalogue={1: Entry()}))  # type: ignore[arg-type]
    with running(installation, unknown_items="hide") as service:
        answer = service.ask("u", "limit=2")
        assert [item["item_id"] for item in answer["items"]] == ["i1"]
        assert (answer["outcome"], answer["outcome_reason"]) == ("short", "few_items_available")


def test_categories_are_any_of(database: psycopg.Connection, recommend: Recommend) -> None:
    catalogue = {n: Entry(categories=(name,)) for n, name in enumerate(("a", "b", "c", "a b", "a"), start=1)}
    write_shop(database, Shop({}, 6, trends=TRENDS, catalogue=catalogue))  # type: ignore[arg-type]
    assert recommend.ids("u", "category=b&category=c") == ["i2", "i3"]
    assert recommend.ids("u", "category=a%20b") == ["i4"]
    answer = recommend.ask("u", "category=a&limit=3")
    assert [item["item_id"] for item in answer["items"]] == ["i1", "i5"]  # i5 from the catalogue alone
    assert (answer["outcome"], answer["outcome_reason"]) == ("short", "filters_left_few")


def test_popularity_within_an_asked_category_is_named(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({}, 6, trends={"7d": {4: 0.1}}, catalogue={4: Entry(categories=("garden", "toys"))}))
    (item,) = recommend.ask("u", "category=toys")["items"]
    assert item["evidence"][0]["code"] == "popular_in_category"
    assert item["evidence"][0]["category"] == "toys"
    assert item["explanation"] == "Popular in toys: 10 % of the activity of late was on it."


def test_excluded_items_are_left_out(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    assert not {"i1", "i3"} & set(recommend.ids("u", "limit=50&exclude_item=i1&exclude_item=i3&exclude_item=zz"))


def test_filters_that_leave_nothing_say_so(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    for query in (
        "category=none",
        "&".join(f"exclude_item=i{n}" for n in range(1, 7)),
        "category=none&exclude=seen&exclude_item=i1",
    ):
        answer = recommend.ask("u", query)
        assert answer["items"] == []
        assert (answer["outcome"], answer["outcome_reason"]) == ("empty", "filters_left_none")
        assert answer["strategy"] == "none"


def test_an_empty_installation_answers_an_empty_list(recommend: Recommend) -> None:
    answer = recommend.ask("u")
    assert (answer["items"], answer["outcome"], answer["outcome_reason"]) == ([], "empty", "no_items_available")


def test_the_catalogue_fills_a_list_when_nothing_else_is_known(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    catalogue = {1: Entry(available=False), 2: Entry(), 5: Entry()}
    write_shop(database, Shop({}, 6, catalogue=catalogue))
    answer = recommend.ask("u", "limit=2")
    assert [item["item_id"] for item in answer["items"]] == ["i2", "i5"]
    assert (answer["strategy"], answer["outcome"]) == ("catalogue", "full")
    (evidence,) = answer["items"][0]["evidence"]
    assert (evidence["code"], evidence["contribution"], evidence["share"]) == ("catalogue", 0.0, None)


def test_items_known_from_events_fill_what_the_catalogue_cannot(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    write_shop(database, Shop({}, 3, catalogue={1: Entry(), 2: Entry(deleted=True)}))
    answer = recommend.ask("u", "limit=3")
    assert [(item["item_id"], item["evidence"][0]["code"]) for item in answer["items"]] == [
        ("i1", "catalogue"),
        ("i3", "known_item"),
    ]


def test_scored_items_come_before_those_that_only_fill(database: psycopg.Connection, recommend: Recommend) -> None:
    catalogue = {n: Entry() for n in range(1, 7)}
    write_shop(database, Shop({"u": BUYER}, 6, trends={"6h": {6: 0.1}}, catalogue=catalogue))
    assert recommend.ids("u", "limit=5") == ["i3", "i2", "i6", "i1", "i4"]


def test_dismissed_items_do_not_fill_a_list(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({"u": user(signal(1, "dismiss", [NOW]))}, 2, catalogue={1: Entry(), 2: Entry()}))
    assert recommend.ids("u") == ["i2"]


def test_a_session_is_united_with_its_user(database: psycopg.Connection, recommend: Recommend) -> None:
    viewed = user(signal(5, "view", [NOW - HOUR]))
    write_shop(database, shop(u=user(signal(5, "view", [NOW - DAY]), signal(2, "view", [NOW - DAY])), s=viewed))
    item = recommend.ask("u", "limit=1&session=s&explain=full")["items"][0]
    assert item["item_id"] == "i5"
    (own,) = [part for part in item["evidence"] if part["code"] == "own_signal"]
    assert (own["count"], own["last_at"]) == (2, "2026-11-27T11:00:00Z")
    assert recommend.ask("nobody", "session=s&limit=1")["strategy"] == "personal"
    assert recommend.ids("u", "session=u") == recommend.ids("u")


@pytest.mark.parametrize("weights", ["view=0,purchase=0", "view=-1,purchase=-5", "other=1"])
def test_weights_of_zero_and_below_leave_what_the_user_is_at_now(
    installation: Installation, database: psycopg.Connection, weights: str
) -> None:
    write_shop(database, Shop({"u": BUYER}, 6))
    with running(installation, event_types=weights) as service:
        items = service.ask("u", "explain=full&limit=2")["items"]
        assert [item["item_id"] for item in items] == ["i2", "i3"]
        short = 0.25  # 2^(-60/30): one hour old, newest
        assert items[0]["score"] == pytest.approx(0.3 * 0.24 * short / (short + 0.05))
        assert all(len(item["evidence"]) == 1 for item in items)


def test_clocks_that_jump_back_count_ages_as_zero(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({"u": user(signal(1, "view", [NOW]))}, 1))
    recommend.clock.moment = NOW - 400 * DAY
    (item,) = recommend.ask("u")["items"]
    assert item["score"] == pytest.approx(0.3 * (0.24 / 1.05 + 0.46))
    assert item["explanation"] == "Recommended because you viewed it on 27 November 2026."
    recommend.clock.moment = NOW + 365 * 200 * DAY
    (item,) = recommend.ask("u")["items"]
    assert item["score"] < 1e-9


def test_a_user_with_a_hundred_thousand_events_is_read_bounded(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    write_shop(database, Shop({"bot": user(*(signal(n, "view", [NOW - n * HOUR]) for n in range(1, 65)))}, 64))
    database.execute("INSERT INTO item_ref (external_id) SELECT 'b' || n FROM generate_series(65, 100000) AS n")
    database.execute(
        "INSERT INTO signal SELECT 1, n, 1, 9000000000000000000, 40.0, %s FROM generate_series(65, 100000) AS n",
        [NOW - 100 * DAY],
    )
    answer = recommend.ask("bot", "limit=50&explain=full")
    assert len(answer["items"]) == 50
    for query in ("exclude=seen", "exclude=purchased"):
        recommend.ask("bot", f"limit=50&{query}")
    assert len(recommend.get("/v1/users/bot/signals?limit=500")["signals"]) == 500


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=51", "limit"),
        ("limit=ten", "limit"),
        ("surface=nowhere", "surface"),
        ("exclude=all", "exclude"),
        ("explain=long", "explain"),
        ("rerank=maybe", "rerank"),
        ("after=yesterday", "after"),
        ("category=", "category[0]"),
        ("session=" + "s" * 257, "session"),
        ("exclude_item=%00", "exclude_item[0]"),
        ("&".join(["category=a"] * 21), "category"),
        ("&".join(["exclude_item=a"] * 101), "exclude_item"),
        ("limt=3", "limt"),
    ],
)
def test_wrong_parameters_are_named(recommend: Recommend, query: str, field: str) -> None:
    answer = recommend.send("GET", f"/v1/users/u/recommendations?{query}")
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]


def test_ids_may_hold_anything(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({"a/b ü%": BUYER}, 6))
    assert recommend.ask("a/b ü%", "limit=1")["user_id"] == "a/b ü%"
    assert recommend.ask("a/b ü%", "limit=1")["strategy"] == "personal"
    assert recommend.send("GET", f"/v1/users/{'x' * 257}/recommendations").status == 422


def test_answers_are_counted_by_strategy_and_outcome(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    recommend.ask("u", "limit=1")
    recommend.ask("nobody", "category=none")
    text = recommend.send("GET", "/metrics").body.decode()
    assert 'whence_recommendations_served_total{outcome="full",strategy="personal"} 1.0' in text
    assert 'whence_recommendations_served_total{outcome="empty",strategy="none"} 1.0' in text
    assert 'whence_stage_duration_seconds_count{stage="read"} 2.0' in text
    assert 'whence_db_pool_connections{state="busy"}' in text
