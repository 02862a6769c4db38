"""PostgreSQL away or busy, keys, and the days of served lists."""

import asyncio
from datetime import date, timedelta

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from conftest import Installation
from integration.eventlog.proxy import AnswerCuttingProxy
from integration.recommend.live import Recommend, running
from integration.recommend.states import Shop, write_shop
from integration.recommend.test_recommendations import shop
from whence.recommend.database import POOL_MAX
from whence.recommend.served import partition_name

PATHS = (
    "/v1/users/u/recommendations",
    "/v1/users/u/signals",
    "/v1/users/u/items/i1/why",
    "/v1/trending",
    "/v1/items/i1/similar",
    "/v1/items/i1",
)


def url_of(proxy: AnswerCuttingProxy) -> str:
    """The proxy's address as the URL that the setting asks for."""
    parts = conninfo_to_dict(proxy.url)
    return f"postgresql://{parts.get('user', 'postgres')}@127.0.0.1:{parts['port']}/{parts.get('dbname', 'postgres')}"


def test_without_postgresql_every_read_is_answered_503_and_resumes_alone(
    installation: Installation, database: psycopg.Connection
) -> None:
    write_shop(database, shop())
    with (
        AnswerCuttingProxy(installation.url) as proxy,
        running(Installation(url_of(proxy), installation.namespace)) as service,
    ):
        assert service.ids("u", "limit=1") == ["i1"]
        proxy.cut_answers()
        for path in PATHS:
            answer = service.send("GET", path)
            assert answer.status == 503, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["type"] == "urn:whence:problem:unavailable"
        assert service.send("GET", "/livez").status == 200
        assert service.send("GET", "/readyz").status == 503
        proxy.mend()
        service.wait_until(lambda: service.send("GET", PATHS[0]).status == 200)
        service.wait_until(lambda: service.send("GET", "/readyz").status == 200)
        assert service.ids("u", "limit=1") == ["i1"]


def test_writes_to_the_catalogue_answer_503_without_postgresql(installation: Installation) -> None:
    with AnswerCuttingProxy(installation.url) as proxy:
        proxy.cut_answers()
        with running(Installation(url_of(proxy), installation.namespace)) as service:
            assert service.send("PUT", "/v1/items/a", {"title": "A"}).status == 503
            assert service.send("DELETE", "/v1/items/a").status == 503


def test_more_requests_than_connections_are_all_answered(database: psycopg.Connection, recommend: Recommend) -> None:
    write_shop(database, shop())

    async def many() -> set[int]:
        asked = [recommend.exchange("GET", PATHS[0]) for _ in range(20 * POOL_MAX)]
        return {answer.status for answer in await asyncio.gather(*asked)}

    assert recommend.run(many()) == {200}


def test_keys_are_asked_for(installation: Installation) -> None:
    with running(installation, api_keys="secret") as service:
        assert service.send("GET", "/v1/trending").status == 401
        assert service.send("GET", "/v1/trending", headers={"authorization": "Bearer secret"}).status == 200
        assert service.send("GET", "/livez").status == 200


def days(database: psycopg.Connection) -> set[str]:
    rows = database.execute("SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid "
                            "WHERE inhparent = 'served_list'::regclass")  # fmt: skip
    return {name for (name,) in rows}


def test_days_are_made_ahead_and_dropped_when_their_time_is_over(
    installation: Installation, database: psycopg.Connection
) -> None:
    today = date(2026, 11, 27)
    made = {partition_name(today + timedelta(days=n)) for n in (-1, 0, 1, 2)}
    with running(installation) as service:
        service.wait_until(lambda: days(database) == made)
    for age in (7, 8, 20):
        day = today - timedelta(days=age)
        database.execute(
            f"CREATE TABLE {partition_name(day)} PARTITION OF served_list FOR VALUES FROM ('{day}T00:00:00Z') "
            f"TO ('{day + timedelta(days=1)}T00:00:00Z')".encode()
        )
    with running(installation) as service:
        service.wait_until(lambda: days(database) == made | {partition_name(today - timedelta(days=7))})


def test_two_processes_at_once_do_not_disturb_each_other(
    installation: Installation, database: psycopg.Connection
) -> None:
    with running(installation) as one, running(installation) as two:
        one.wait_until(lambda: len(days(database)) == 4)
        assert one.ask("u")["outcome"] == two.ask("u")["outcome"] == "empty"


@pytest.mark.parametrize("wait", [False, True])
def test_what_was_served_last_is_kept_when_the_service_stops(
    installation: Installation, database: psycopg.Connection, wait: bool
) -> None:
    write_shop(database, Shop({}, 1))
    with running(installation) as service:
        service.wait_until(lambda: len(days(database)) == 4)
        served = [service.ask("u")["recommendation_id"] for _ in range(3)]
        if wait:
            service.wait_until(lambda: kept(database) == set(served))
    assert kept(database) == set(served)


def kept(database: psycopg.Connection) -> set[str]:
    return {row[0] for row in database.execute("SELECT recommendation_id FROM served_list")}
