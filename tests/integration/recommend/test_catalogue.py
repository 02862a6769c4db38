"""The catalogue routes: put, get, withdraw, put back, in batches, and what is refused."""

from typing import Any

import psycopg
import pytest

from integration.recommend.live import Recommend
from integration.recommend.states import Shop, write_shop

SHOE = {
    "title": "Trail shoe",
    "description": "For mud.",
    "categories": ["shoes", "outdoor"],
    "attributes": {"colour": "red", "sizes": [40, 41]},
    "available": True,
    "url": "https://shop.example/shoe",
    "image_url": None,
}


def put(recommend: Recommend, item_id: str, item: object) -> Any:
    return recommend.send("PUT", f"/v1/items/{item_id}", item)


def test_an_item_is_put_read_and_replaced(recommend: Recommend) -> None:
    first = put(recommend, "a%2Fb", SHOE)
    assert first.status == 201
    stored = recommend.get("/v1/items/a%2Fb")
    assert stored.pop("updated_at").endswith("Z")
    assert stored == {"item_id": "a/b", **SHOE}
    assert put(recommend, "a%2Fb", {"title": "Shoe"}).status == 200
    again = recommend.get("/v1/items/a%2Fb")
    assert (again["title"], again["categories"], again["description"]) == ("Shoe", [], None)


def test_an_id_that_is_not_in_the_catalogue_is_not_found(recommend: Recommend) -> None:
    answer = recommend.send("GET", "/v1/items/none")
    assert answer.status == 404
    assert answer.json()["type"] == "urn:whence:problem:not-found"


def test_a_deleted_item_is_withdrawn_until_it_is_put_back(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({}, 1, trends={"6h": {1: 0.5}}))
    put(recommend, "i1", SHOE)
    assert recommend.ids("u") == ["i1"]
    for _ in range(2):
        assert recommend.send("DELETE", "/v1/items/i1").json() == {"item_id": "i1", "deleted": True}
    assert recommend.send("GET", "/v1/items/i1").status == 404
    assert recommend.ids("u") == []
    assert put(recommend, "i1", SHOE).status == 201
    assert recommend.ids("u") == ["i1"]


def test_an_item_without_an_entry_can_be_withdrawn_too(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({}, 2, trends={"6h": {1: 0.5, 2: 0.1}}))
    assert recommend.send("DELETE", "/v1/items/i1").status == 200
    assert recommend.send("DELETE", "/v1/items/never-seen").status == 200
    assert recommend.ids("u") == ["i2"]


def test_an_unavailable_item_is_not_listed(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, Shop({}, 1, trends={"6h": {1: 0.5}}))
    put(recommend, "i1", SHOE | {"available": False})
    assert recommend.ids("u") == []
    assert recommend.get("/v1/items/i1")["available"] is False


def test_a_batch_judges_each_item_on_its_own(recommend: Recommend) -> None:
    put(recommend, "old", SHOE)
    entries: list[object] = [
        {"item_id": "new", "title": "New"},
        {"item_id": "old", "title": "Old"},
        {"item_id": "", "title": "x" * 501, "colour": "red"},
        "text",
        {"title": "no id"},
        {"item_id": "twice", "title": "First"},
        {"item_id": "twice", "title": "Second"},
    ]
    answer = recommend.send("POST", "/v1/items/batch", {"items": entries}).json()
    assert (answer["accepted"], answer["rejected"]) == (4, 3)
    assert [result["status"] for result in answer["results"]] == [201, 200, 422, 422, 422, 201, 201]
    wrong = answer["results"][2]["problem"]["errors"]
    assert {error["field"] for error in wrong} == {"item_id", "title", "colour"}
    assert next(error["limit"] for error in wrong if error["field"] == "title") == 500
    assert recommend.get("/v1/items/twice")["title"] == "Second"


def test_a_batch_of_a_thousand_is_taken_and_one_more_is_not(recommend: Recommend) -> None:
    entries = [{"item_id": f"n{n}", "title": "T"} for n in range(1_001)]
    assert recommend.send("POST", "/v1/items/batch", {"items": entries}).status == 413
    assert recommend.send("POST", "/v1/items/batch", {"items": entries[:1_000]}).json()["accepted"] == 1_000


@pytest.mark.parametrize("body", [{}, {"items": []}, {"items": {}}, [], {"items": [{}], "more": 1}])
def test_what_is_no_batch_is_refused(recommend: Recommend, body: object) -> None:
    assert recommend.send("POST", "/v1/items/batch", body).status == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "   "}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"description": "x" * 10_001}, "description"),
        ({"categories": "shoes"}, "categories"),
        ({"categories": [""]}, "categories[0]"),
        ({"categories": ["c"] * 51}, "categories"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {"a": "x" * 8_192}}, "attributes"),
        ({"attributes": {"a": float("nan")}}, "attributes"),
        ({"attributes": {"a\x00": 1}}, "attributes"),
        ({"attributes": {"a": ["\ud800"]}}, "attributes"),
        ({"available": "yes"}, "available"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"image_url": "https://" + "x" * 2_048}, "image_url"),
        ({"item_id": "a"}, "item_id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named(recommend: Recommend, change: dict[str, object], field: str) -> None:
    answer = put(recommend, "a", SHOE | change)
    assert answer.status == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert recommend.send("GET", "/v1/items/a").status == 404


def test_a_title_is_needed(recommend: Recommend) -> None:
    answer = put(recommend, "a", {})
    assert answer.json()["errors"] == [{"field": "title", "problem": "is missing; it is required"}]


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"\xff", 400), (b"[" * 100_000, 413), (b"[" * 60_000, 400), (b"null", 422)]
)
def test_what_is_no_item_at_all_is_refused(recommend: Recommend, body: bytes, status: int) -> None:
    assert put(recommend, "a", body).status == status


def test_a_body_of_another_type_is_refused(recommend: Recommend) -> None:
    answer = recommend.send("PUT", "/v1/items/a", b"title=x", {"content-type": "text/plain"})
    assert answer.status == 415
