"""Signals, popular, trending, similar, and served lists that are looked up again."""

from datetime import timedelta

import psycopg
import pytest

from integration.recommend.live import Recommend
from integration.recommend.states import NOW, Entry, Shop, signal, write_shop
from integration.recommend.test_recommendations import BUYER, DAY, HOUR, shop, user


def test_signals_are_listed_newest_first_with_weights_of_now(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    write_shop(database, shop(u=user(signal(1, "view", [NOW]), signal(2, "purchase", [NOW - 90 * DAY] * 2))))
    page = recommend.get("/v1/users/u/signals")
    assert page["user_id"] == "u"
    assert page["next"] is None
    first, second = page["signals"]
    assert first == {
        "item_id": "i1", "event_type": "view", "count": 1, "weight": pytest.approx(1.0),
        "last_at": "2026-11-27T12:00:00Z",
    }  # fmt: skip
    assert (second["item_id"], second["count"]) == ("i2", 2)
    assert second["weight"] == pytest.approx(5 * 2 * 0.5)


def test_signals_come_in_pages_without_gaps_or_repeats(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=user(*(signal(n % 6 + 1, kind, [NOW - HOUR * (n % 3)])
                                       for n in range(6) for kind in ("view", "cart", "dismiss")))))  # fmt: skip
    seen, cursor = [], ""
    while True:
        page = recommend.get(f"/v1/users/u/signals?limit=4{cursor}")
        assert len(page["signals"]) <= 4
        seen += [(s["last_at"], s["item_id"], s["event_type"]) for s in page["signals"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert len(seen) == len(set(seen)) == 18
    assert [entry[0] for entry in seen] == sorted((entry[0] for entry in seen), reverse=True)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%C3%BC", "f39_f39_f39_f39_f39_f39_f38="])
def test_a_cursor_that_is_not_ours_is_refused(recommend: Recommend, cursor: str) -> None:
    answer = recommend.send("GET", f"/v1/users/u/signals?cursor={cursor}")
    assert answer.status == 422
    assert answer.json()["errors"][0]["field"] == "cursor"


def test_an_unknown_user_has_no_signals(recommend: Recommend) -> None:
    assert recommend.get("/v1/users/nobody/signals") == {"user_id": "nobody", "signals": [], "next": None}


def test_trending_and_popular_rank_by_their_horizons(database: psycopg.Connection, recommend: Recommend) -> None:
    catalogue = {1: Entry(available=False), 2: Entry(categories=("toys",)), 4: Entry(categories=("garden",))}
    trends = {"6h": {1: 0.5, 2: 0.3, 3: 0.2}, "7d": {4: 0.6, 1: 0.4}}
    write_shop(database, Shop({}, 4, trends=trends, catalogue=catalogue))  # type: ignore[arg-type]
    trending = recommend.get("/v1/trending")
    assert [(item["item_id"], item["rank"], item["score"]) for item in trending["items"]] == [
        ("i2", 1, 0.3), ("i3", 2, 0.2),
    ]  # fmt: skip
    assert (trending["horizon"], trending["outcome"], trending["outcome_reason"]) == (
        "6h", "short", "few_items_available",
    )  # fmt: skip
    assert trending["items"][0]["item"]["categories"] == ["toys"]
    assert [item["item_id"] for item in recommend.get("/v1/popular?limit=1")["items"]] == ["i4"]
    assert [item["item_id"] for item in recommend.get("/v1/trending?category=toys&category=x")["items"]] == ["i2"]


def test_lists_say_why_they_are_empty(recommend: Recommend) -> None:
    assert recommend.get("/v1/trending")["outcome_reason"] == "no_recent_activity"
    assert recommend.get("/v1/popular?category=x")["outcome_reason"] == "filters_left_none"
    assert recommend.get("/v1/items/none/similar")["outcome_reason"] == "unknown_item"


def test_similar_items_come_from_the_neighbours(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({}, 4, neighbours={1: {3: 0.6, 2: 0.4}}, catalogue={3: Entry(deleted=True)}))
    assert [(i["item_id"], i["score"]) for i in recommend.get("/v1/items/i1/similar")["items"]] == [("i2", 0.4)]
    assert recommend.get("/v1/items/i4/similar")["outcome_reason"] == "no_neighbours_known"


def test_similar_items_have_titles_and_can_be_asked_by_category(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    catalogue = {2: Entry(categories=("toys",)), 3: Entry(categories=("garden", "toys")), 4: Entry(available=False)}
    write_shop(database, Shop({}, 5, neighbours={1: {4: 0.4, 3: 0.3, 2: 0.2, 5: 0.1}}, catalogue=catalogue))
    toys = recommend.get("/v1/items/i1/similar?category=toys")
    assert [(item["item"]["title"], item["score"]) for item in toys["items"]] == [("Item 3", 0.3), ("Item 2", 0.2)]
    assert (toys["outcome"], toys["outcome_reason"]) == ("short", "filters_left_few")
    assert [item["item_id"] for item in recommend.get("/v1/items/i1/similar")["items"]] == ["i3", "i2", "i5"]
    assert recommend.get("/v1/items/i1/similar?category=x")["outcome_reason"] == "filters_left_none"


def test_a_served_list_is_found_again_before_and_after_it_is_written(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    write_shop(database, shop(u=BUYER))
    served = recommend.ask("u", "limit=2")
    target = f"/v1/recommendations/{served['recommendation_id']}"
    assert recommend.get(target) == served
    recommend.wait_until(lambda: count(database) == 1)
    recommend.wait_until(lambda: recommend.get(target) == served)


def test_a_list_that_was_never_served_is_not_found(recommend: Recommend) -> None:
    for name in ("rec_x", "abc", f"rec_{'0' * 31}g", f"rec_{'f' * 32}"):
        answer = recommend.send("GET", f"/v1/recommendations/{name}")
        assert (answer.status, answer.json()["type"]) == (404, "urn:whence:problem:not-found")


def test_a_list_that_is_too_old_has_expired(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop())
    served = recommend.ask("u")["recommendation_id"]
    recommend.clock.moment += timedelta(days=7, seconds=1)
    answer = recommend.send("GET", f"/v1/recommendations/{served}")
    assert (answer.status, answer.json()["type"]) == (404, "urn:whence:problem:expired")


def count(database: psycopg.Connection) -> int:
    row = database.execute("SELECT count(*) FROM served_list").fetchone()
    assert row
    return int(row[0])
