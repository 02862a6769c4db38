"""Published weights: every replica's next list has them, all reads agree, and a preview says what they would change."""

import math
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from conftest import Installation
from integration.recommend.live import Recommend, running
from integration.recommend.states import NOW, Shop, random_shop, signal, write_shop
from integration.recommend.test_recommendations import DAY, HOUR, user
from integration.recommend.test_why import compute
from whence.domain.state import State
from whence.recommend.preview import TOP, Preview, Proposal, preview
from whence.recommend.recipe import UNPUBLISHED, Recipe, newest_recipes, publish

INITIAL = {"view": 1.0, "click": 2.0, "cart": 3.0, "purchase": 5.0, "dismiss": 0.0}

# Of the same age, so that the weights alone decide which comes first.
TORN = user(signal(1, "view", [NOW - 40 * DAY] * 6), signal(2, "purchase", [NOW - 40 * DAY]))


@pytest.fixture
def torn(database: psycopg.Connection) -> None:
    write_shop(database, Shop({"u": TORN, "viewer": user(signal(3, "view", [NOW]))}, 4))


def put(database: psycopg.Connection, expected: int | None = None, **changes: float) -> Recipe:
    recipe = publish(database, changes, INITIAL, "tests", expected)[1]
    assert recipe is not None
    return recipe


def top(service: Recommend) -> str:
    answer = service.ask("u", "limit=1&explain=full")
    (item,) = answer["items"]
    assert math.fsum(part["contribution"] for part in item["evidence"]) == pytest.approx(item["score"], abs=1e-9)
    return f"{item['item_id']} of {answer['recipe_version']}"


@pytest.mark.usefixtures("torn")
def test_the_next_list_of_every_replica_has_the_new_weights_and_an_undo_is_a_set(
    installation: Installation, database: psycopg.Connection
) -> None:
    with running(installation) as one, running(installation) as two:
        assert (top(one), top(two)) == ("i1 of 0", "i1 of 0")
        put(database, purchase=12)
        assert (top(one), top(two)) == ("i2 of 1", "i2 of 1")
        put(database, purchase=5)
        assert (top(one), top(two)) == ("i1 of 2", "i1 of 2")


@pytest.mark.usefixtures("torn")
def test_no_list_that_is_begun_after_a_publication_is_made_with_an_older_one(
    installation: Installation, database: psycopg.Connection
) -> None:
    """Readers ask two replicas without rest; each notes the newest version before it asks."""
    newest, stop = 0, threading.Event()
    with running(installation) as one, running(installation) as two, ThreadPoolExecutor() as pool:

        def read(service: Recommend) -> int:
            reads = 0
            while not stop.is_set():
                floor = newest
                version = service.ask("u", "limit=1&explain=none")["recipe_version"]
                assert version >= floor
                reads += 1
            return reads

        readers = [pool.submit(read, service) for service in (one, two, one, two)]
        for number in range(40):
            newest = put(database, purchase=6 + number).version
        stop.set()
        assert newest == 40
        assert all(reader.result() for reader in readers)


@pytest.mark.usefixtures("torn")
def test_a_service_that_starts_with_other_initial_weights_uses_the_published_ones(
    installation: Installation, database: psycopg.Connection
) -> None:
    put(database, purchase=12)
    with running(installation, event_types="view=100,purchase=0,extra=7") as other:
        assert top(other) == "i2 of 1"
        weights = {s["event_type"]: s["type_weight"] for s in other.get("/v1/users/u/items/i2/why")["signals"]}
        assert weights == {"purchase": 12}


def test_a_type_that_no_recipe_names_has_its_initial_weight(
    installation: Installation, database: psycopg.Connection
) -> None:
    publish(database, {"purchase": 12}, {"view": 1.0, "purchase": 5.0}, "tests")
    write_shop(database, Shop({"u": user(signal(1, "cart", [NOW]), signal(2, "purchase", [NOW - HOUR]))}, 2))
    with running(installation, event_types="view=1,cart=30,purchase=5") as service:
        held = {s["item_id"]: s["weight"] for s in service.get("/v1/users/u/signals")["signals"]}
        assert held["i1"] == pytest.approx(30)
        assert held["i2"] == pytest.approx(12, rel=1e-3)


@pytest.mark.parametrize(
    "weights",
    [{"purchase": 12.0}, {"view": 0.0, "cart": 1e6, "dismiss": -4.0}, {"view": -2.0, "click": 1e-300}],
)
def test_lists_and_arithmetic_agree_under_published_weights(
    database: psycopg.Connection, recommend: Recommend, weights: Mapping[str, float]
) -> None:
    publish(database, weights, INITIAL, "tests")
    checked = 0
    for seed in range(8):
        write_shop(database, random_shop(seed))
        for item in recommend.ask("u", "explain=full&limit=4")["items"]:
            why = recommend.get(f"/v1/users/u/items/{item['item_id']}/why")
            assert (why["rank"], why["recipe_version"]) == (item["rank"], 1)
            assert why["score"] == pytest.approx(item["score"], abs=1e-9)
            assert math.fsum(compute(part["arithmetic"]) for part in why["parts"]) == pytest.approx(
                item["score"], abs=1e-9
            )
            checked += 1
    assert checked > 15


def test_a_dismissal_is_taken_back_by_types_that_weigh_something_now(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    state = user(signal(1, "dismiss", [NOW - HOUR]), signal(1, "view", [NOW]), signal(2, "view", [NOW]))
    write_shop(database, Shop({"u": state}, 2))
    assert set(recommend.ids("u")) == {"i1", "i2"}
    put(database, view=0)
    assert recommend.ids("u") == ["i2"]
    assert [o["code"] for o in recommend.get("/v1/users/u/items/i1/why")["not_listed_because"]] == ["dismissed"]
    put(database, view=0.1)
    assert set(recommend.ids("u")) == {"i1", "i2"}


@pytest.mark.usefixtures("torn")
def test_a_served_list_tells_the_version_that_it_was_made_with(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    put(database, purchase=12)
    served = recommend.ask("u")
    put(database, purchase=1)
    assert recommend.get(f"/v1/recommendations/{served['recommendation_id']}")["recipe_version"] == 1
    assert recommend.ask("u")["recipe_version"] == 2


def test_concurrent_publications_make_a_version_each_and_none_is_lost(installation: Installation) -> None:
    def publish_one(number: int) -> int:
        with installation.connect() as connection:
            change = {["view", "click", "cart", "purchase"][number % 4]: 100.0 + number}
            recipe = publish(connection, change, INITIAL, "tests")[1]
            assert recipe is not None
            return recipe.version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(publish_one, range(16)))
    assert sorted(versions) == list(range(1, 17))
    with installation.connect() as connection:
        history = newest_recipes(connection, 100)
    assert [recipe.version for recipe in history] == list(range(16, 0, -1))
    assert all(weight >= 100 for name, weight in history[0].weights.items() if name != "dismiss")
    assert history[0].weights["dismiss"] == 0


def test_a_publication_can_expect_a_version(database: psycopg.Connection) -> None:
    assert publish(database, {"view": 2}, INITIAL, "tests", 3) == (UNPUBLISHED, None)
    assert put(database, 0, view=2).version == 1
    before, after = publish(database, {"view": 3}, INITIAL, "tests", 0)
    assert (before.version, before.weights["view"], after) == (1, 2, None)
    assert put(database, 1, view=3).version == 2


def test_what_changes_nothing_is_no_version(database: psycopg.Connection) -> None:
    assert put(database, view=1).version == 1  # publishes the initial weights: from now on they count everywhere
    assert put(database, view=1).version == 1
    assert len(newest_recipes(database, 10)) == 1


def proposal(users: int = 1_000, examples: int = 5, **changes: float) -> Proposal:
    return Proposal(INITIAL, changes, NOW, users=users, examples=examples)


def compared(installation: Installation, asked: Proposal) -> Preview:
    with installation.connect() as connection:
        return preview(connection, asked)


@pytest.mark.usefixtures("torn")
def test_a_preview_says_who_changes_and_how(installation: Installation, database: psycopg.Connection) -> None:
    found = compared(installation, proposal(purchase=12))
    assert (found.changed, found.replaced, found.compared, found.sample.population) == (1, 0, 2, 2)
    assert (found.share, found.standard_error) == (0.5, 0.0)
    (example,) = found.examples
    assert example.user_id == "u"
    assert [(move.item_id, move.before, move.after) for move in example.moves[:2]] == [("i2", 2, 1), ("i1", 1, 2)]
    assert newest_recipes(database) == []
    assert compared(installation, proposal(click=9)).changed == 0


def test_a_preview_tells_exactly_what_the_published_weights_then_do(
    installation: Installation, database: psycopg.Connection
) -> None:
    """The examples are the lists that the service gives before and after."""
    users = {f"u{n}": _many_items(n) for n in range(12)}
    write_shop(database, Shop(users, 40))
    found = compared(installation, proposal(purchase=0.1, examples=50))
    assert found.replaced > 0
    with running(installation) as service:
        before = {name: service.ids(name) for name in users}
        put(database, purchase=0.1)
        after = {name: service.ids(name) for name in users}
    assert found.changed == sum(before[name] != after[name] for name in users)
    assert {example.user_id for example in found.examples} == {n for n in users if before[n] != after[n]}
    assert found.replaced == sum(set(before[name]) != set(after[name]) for name in users)
    for example in found.examples:
        ranks = {move.item_id: (move.before, move.after) for move in example.moves}
        assert [item for item in sorted(ranks, key=lambda i: ranks[i][1] or 99) if ranks[item][1]] == after[
            example.user_id
        ]
        assert [item for item in sorted(ranks, key=lambda i: ranks[i][0] or 99) if ranks[item][0]] == before[
            example.user_id
        ]


def _many_items(number: int) -> State:
    """Twenty items; of some users every third was bought, of the others all were only viewed."""
    kinds = ["purchase", "view", "view"] if number % 3 else ["view"]
    at = [NOW - (30 + (number * 7 + n) % 20) * DAY for n in range(20)]
    return user(*(signal(1 + (number + n) % 40, kinds[n % len(kinds)], [at[n]] * (1 + n % 4)) for n in range(20)))


def test_a_sample_is_the_same_again_and_says_how_far_it_can_be_trusted(
    installation: Installation, database: psycopg.Connection
) -> None:
    users = {f"u{n}": _many_items(n) if n % 2 else user(signal(1, "dismiss", [NOW])) for n in range(200)}
    write_shop(database, Shop(users, 40))
    database.execute("DELETE FROM user_recent WHERE length(packed) = 0")
    one = compared(installation, proposal(users=50, purchase=0.1))
    assert one.compared == 50
    assert (one.sample.population, one.sample.is_counted) == (100, True)
    assert one.standard_error == pytest.approx(
        math.sqrt((one.changed + 1) / 52 * (51 - one.changed) / 52 / 50 * 0.5), rel=1e-12
    )
    assert compared(installation, proposal(users=50, purchase=0.1)).sample == one.sample
    all_of_them = compared(installation, proposal(purchase=0.1))
    assert one.changed > 0
    assert abs(all_of_them.share - one.share) < 5 * one.standard_error
    assert all_of_them.standard_error == 0


def test_a_preview_of_nothing_is_no_error(installation: Installation) -> None:
    found = compared(installation, proposal(purchase=12))
    assert (found.compared, found.share, found.standard_error, found.examples) == (0, 0.0, 0.0, ())


def test_the_published_weights_are_what_a_preview_starts_from(
    installation: Installation, database: psycopg.Connection
) -> None:
    put(database, purchase=12)
    found = compared(installation, proposal(view=2))
    assert (found.recipe.version, found.before["purchase"], found.after["purchase"]) == (1, 12, 12)
    assert found.recipe.published_at is not None
    assert found.recipe.published_at <= datetime.now(UTC)
    assert TOP == 10
