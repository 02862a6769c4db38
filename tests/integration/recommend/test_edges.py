"""Users and items of extreme size, read within bounds."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any

import psycopg
import pytest

from conftest import Installation
from integration.recommend.live import Recommend
from integration.recommend.states import NOW, Entry, Shop, signal, write_shop
from integration.recommend.test_recommendations import DAY, HOUR, user
from whence.domain.state import Exclude
from whence.kit.database import conninfo
from whence.recommend.database import SESSION
from whence.recommend.read import EVIDENCE_ALL, FILL_SCAN_MAX, Ask, read_candidates
from whence.recommend.signals import SORTED_MAX, ItemPlace, read_page
from whence.recommend.why import read_state

BOT_ITEMS = 100_000


@pytest.fixture
def bot(database: psycopg.Connection) -> None:
    """A user who has touched each of 100,000 items, the 64 newest of them last, and another with a single signal."""
    newest = user(*(signal(n, "view", [NOW - n * HOUR]) for n in range(1, 65)))
    write_shop(database, Shop({"bot": newest, "guest": user(signal(1, "view", [NOW]))}, 64))
    database.execute(
        "INSERT INTO item_ref (external_id) SELECT 'b' || n FROM generate_series(65, %s) AS n", [BOT_ITEMS]
    )
    database.execute(
        "INSERT INTO signal SELECT 1, n, 1, 9000000000000000000, 40.0, %s FROM generate_series(65, %s) AS n",
        [NOW - 100 * DAY, BOT_ITEMS],
    )
    database.execute("ANALYZE")


def pages(service: Recommend, name: str, limit: int) -> Iterator[list[dict[str, Any]]]:
    cursor = ""
    while True:
        page = service.get(f"/v1/users/{name}/signals?limit={limit}{cursor}")
        yield page["signals"]
        if page["next"] is None:
            return
        cursor = f"&cursor={page['next']}"


@pytest.mark.usefixtures("bot")
def test_all_signals_of_a_bot_come_in_full_pages_the_newest_items_first(recommend: Recommend) -> None:
    found = list(pages(recommend, "bot", 500))
    assert [len(page) for page in found[:-1]] == [500] * (len(found) - 1)
    items = [held["item_id"] for page in found for held in page]
    assert items[:64] == [f"i{n}" for n in range(1, 65)]
    assert items[64:] == [f"b{n}" for n in range(65, BOT_ITEMS + 1)]


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("limit", [1, 63, 64, 65])
def test_pages_of_a_bot_have_no_gap_where_the_newest_items_end(recommend: Recommend, limit: int) -> None:
    items = [held["item_id"] for page in islice(pages(recommend, "bot", limit), 130 // limit + 2) for held in page]
    assert items[:66] == [*(f"i{n}" for n in range(1, 65)), "b65", "b66"]
    assert len(set(items)) == len(items)


def test_a_user_at_the_bound_is_sorted_by_time_and_one_above_is_not(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    write_shop(database, Shop({"u": user(signal(1, "view", [NOW]))}, SORTED_MAX + 1))
    places = "generate_series(%s::int, %s::int) AS n"
    later = f"INSERT INTO signal SELECT 1, n, 1, 1, 40.0, %s + n * interval '1 s' FROM {places}".encode()
    database.execute(later, [NOW - DAY, 2, SORTED_MAX])
    whole = [held["item_id"] for page in pages(recommend, "u", 500) for held in page]
    assert whole == ["i1", *(f"i{n}" for n in range(SORTED_MAX, 1, -1))]
    database.execute(later, [NOW - DAY, SORTED_MAX + 1, SORTED_MAX + 1])
    above = [held["item_id"] for page in pages(recommend, "u", 500) for held in page]
    assert above == [f"i{n}" for n in range(1, SORTED_MAX + 2)]


def test_a_user_who_only_ever_dismissed_is_listed_however_much(
    database: psycopg.Connection, recommend: Recommend
) -> None:
    write_shop(database, Shop({"u": user(signal(1, "dismiss", [NOW]))}, SORTED_MAX + 10))
    database.execute("DELETE FROM user_recent")
    database.execute(
        "INSERT INTO signal SELECT 1, n, 5, 1, 40.0, %s FROM generate_series(2, %s) AS n", [NOW, SORTED_MAX + 10]
    )
    found = [held["item_id"] for page in pages(recommend, "u", 500) for held in page]
    assert found == [f"i{n}" for n in range(1, SORTED_MAX + 11)]


Read = Callable[[psycopg.AsyncConnection], Coroutine[None, None, object]]


async def rows_read(installation: Installation, read: Read) -> int:
    """How many rows of `signal` a read fetches, so that a bound is no matter of the machine's speed."""
    where = conninfo(installation.url, installation.namespace, "test")
    async with await psycopg.AsyncConnection.connect(where) as connection:
        for setting in SESSION:
            await connection.execute(setting.encode())
        await read(connection)
        counted = await connection.execute(
            "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = 'signal'::regclass"
        )
        row = await counted.fetchone()
        assert row
        return int(row[0])


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("exclude", ["none", "purchased", "seen"])
def test_a_list_for_a_bot_reads_a_bounded_number_of_signals(installation: Installation, exclude: Exclude) -> None:
    ask = Ask(["bot"], [0], {"view": 1.0}, NOW, exclude=exclude, evidence_max=EVIDENCE_ALL)
    rows = asyncio.run(rows_read(installation, lambda connection: read_candidates(connection, ask)))
    assert 50 <= rows <= 2 * FILL_SCAN_MAX + 500


@pytest.mark.usefixtures("bot")
def test_the_arithmetic_for_a_bot_reads_a_bounded_number_of_signals(installation: Installation) -> None:
    ask = Ask(["bot"], [0], {"view": 1.0}, NOW, evidence_max=EVIDENCE_ALL)

    async def read(connection: psycopg.AsyncConnection) -> None:
        reading, state = await read_candidates(connection, ask), await read_state(connection, ["bot"], (70_000,))
        assert len(reading.found) == 50
        assert len(state.signals) == 51

    assert 100 <= asyncio.run(rows_read(installation, read)) <= 5_000


@pytest.mark.usefixtures("bot")
@pytest.mark.parametrize("place", [None, ItemPlace(), ItemPlace(90_000, 1)])
def test_a_page_of_a_bots_signals_reads_a_bounded_number_of_them(
    installation: Installation, place: ItemPlace | None
) -> None:
    rows = asyncio.run(
        rows_read(installation, lambda connection: read_page(connection, "bot", {"view": 1.0}, NOW, 500, place))
    )
    assert 500 <= rows <= SORTED_MAX + 1_000


def test_an_item_viewed_a_million_times_is_one_signal(database: psycopg.Connection, recommend: Recommend) -> None:
    million = signal(1, "view", [NOW - timedelta(minutes=5)])
    write_shop(database, Shop({"fan": user(million)}, 2))
    database.execute("UPDATE signal SET count = 1000000, log_sum = log_sum + ln(1000000::float8)")
    (held,) = recommend.get("/v1/users/fan/signals")["signals"]
    assert held["count"] == 1_000_000
    assert held["weight"] == pytest.approx(1e6, rel=1e-3)
    item = recommend.ask("fan", "explain=full")["items"][0]
    assert item["explanation"] == "Recommended because you viewed it 1000000 times, last on 27 November."
    assert item["score"] == pytest.approx(sum(part["contribution"] for part in item["evidence"]), abs=1e-9)
    assert item["score"] < 1


@pytest.mark.parametrize(
    ("kind", "query", "reason"),
    [
        ("view", "exclude=seen", "filters_left_none"),
        ("purchase", "exclude=purchased", "filters_left_none"),
        ("dismiss", "", "no_items_available"),
    ],
)
def test_a_user_who_is_done_with_every_item_gets_an_empty_list_that_says_why(
    database: psycopg.Connection, recommend: Recommend, kind: str, query: str, reason: str
) -> None:
    done = user(*(signal(n, kind, [NOW - n * HOUR]) for n in range(1, 61)))
    catalogue = {n: Entry(categories=("toys",)) for n in range(1, 61)}
    write_shop(database, Shop({"u": done}, 60, trends={"6h": {1: 0.5}}, catalogue=catalogue))
    for filters in (query, f"{query}&category=toys&limit=50"):
        answer = recommend.ask("u", filters)
        expected = "filters_left_none" if "category" in filters else reason
        assert (answer["items"], answer["outcome"], answer["outcome_reason"]) == ([], "empty", expected)
