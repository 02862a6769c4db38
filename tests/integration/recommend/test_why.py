"""Why an item has its score: the same number as in the list, with its arithmetic, and what keeps items out."""

import math

import psycopg
import pytest

from conftest import Installation
from integration.recommend.live import Recommend, running
from integration.recommend.states import NOW, Entry, Shop, random_shop, signal, write_shop
from integration.recommend.test_recommendations import BUYER, HOUR, TRENDS, shop, user


def compute(text: str) -> float:
    return float(eval(text, {"__builtins__": {}, "max": max}))  # built of numbers by the service itself


def test_the_arithmetic_gives_the_score_of_the_list(database: psycopg.Connection, recommend: Recommend) -> None:
    checked = 0
    for seed in range(12):
        write_shop(database, random_shop(seed))
        for item in recommend.ask("u", "explain=full&limit=5&session=s")["items"]:
            why = recommend.get(f"/v1/users/u/items/{item['item_id']}/why?session=s")
            assert why["rank"] == item["rank"]
            assert why["not_listed_because"] == []
            assert why["score"] == pytest.approx(item["score"], abs=1e-9)
            computed = math.fsum(compute(part["arithmetic"]) for part in why["parts"])
            assert computed == pytest.approx(item["score"], abs=1e-9)
            if item["evidence"][0]["code"] not in ("catalogue", "known_item"):
                assert len(why["parts"]) == len(item["evidence"])
            checked += 1
    assert checked > 30


def test_the_users_signals_on_the_item_are_listed(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop(u=BUYER))
    why = recommend.get("/v1/users/u/items/i3/why")
    (held,) = why["signals"]
    assert (held["event_type"], held["count"], held["type_weight"]) == ("purchase", 6, 5.0)
    assert held["weight"] == pytest.approx(5 * held["decayed_sum"])
    assert why["explanation"] == "Recommended because you bought it 6 times, last on 24 November."


CATALOGUE = {2: Entry(available=False), 4: Entry(deleted=True)}


@pytest.mark.parametrize(
    ("item", "query", "codes"),
    [
        ("i1", "", ["dismissed"]),
        ("i2", "", ["unavailable"]),
        ("i3", "?exclude=purchased", ["excluded"]),
        ("i4", "", ["deleted"]),
        ("zz", "", ["unknown_item"]),
        ("i3", "", []),
    ],
)
def test_what_keeps_an_item_out_is_named(
    database: psycopg.Connection, recommend: Recommend, item: str, query: str, codes: list[str]
) -> None:
    state = user(*BUYER.signals, signal(1, "dismiss", [NOW - HOUR]))
    write_shop(database, Shop({"u": state}, 6, trends=TRENDS, catalogue=CATALOGUE))  # type: ignore[arg-type]
    why = recommend.get(f"/v1/users/u/items/{item}/why{query}")
    assert [obstacle["code"] for obstacle in why["not_listed_because"]] == codes
    assert why["listed"] == (not codes)


def test_an_item_that_nothing_points_to_is_no_candidate(database: psycopg.Connection, recommend: Recommend) -> None:
    scored = {n: 1 / n for n in range(1, 61)}
    write_shop(database, Shop({}, 70, trends={"6h": scored}))
    nothing = recommend.get("/v1/users/u/items/i65/why")
    assert [obstacle["code"] for obstacle in nothing["not_listed_because"]] == ["no_candidate"]
    low = recommend.get("/v1/users/u/items/i60/why")
    assert [obstacle["code"] for obstacle in low["not_listed_because"]] == ["outranked"]
    assert low["score"] == pytest.approx(0.16 / 60)


def test_hidden_unknown_items_are_named(installation: Installation, database: psycopg.Connection) -> None:
    write_shop(database, shop(u=BUYER))
    with running(installation, unknown_items="hide") as service:
        why = service.get("/v1/users/u/items/i3/why")
    assert [obstacle["code"] for obstacle in why["not_listed_because"]] == ["not_in_catalogue"]
