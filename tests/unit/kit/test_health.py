"""Liveness and readiness, for services with an event loop and without."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from whence.domain.errors import DependencyUnavailable
from whence.kit import health
from whence.kit.admin import AdminServer
from whence.kit.health import Readiness
from whence.kit.listening import bind
from whence.kit.metrics import Metrics


class Store:
    """Something that may be away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise DependencyUnavailable("postgresql", "secret host")


def test_ready_while_every_check_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "READINESS_CACHE_SECONDS", 0)
    store, other = Store(), Store()
    readiness = Readiness({"log": store.check, "scores": other.check})
    assert asyncio.run(readiness.report()).status == 200
    store.away = True
    answer = asyncio.run(readiness.report())
    assert answer.status == 503
    assert json.loads(answer.body) == {"status": "not ready", "checks": {"log": "unavailable", "scores": "ok"}}
    store.away = False
    assert asyncio.run(readiness.report()).status == 200


def test_many_probes_cost_one_check() -> None:
    store = Store()
    readiness = Readiness({"log": store.check})

    async def probes() -> None:
        await asyncio.gather(*(readiness.report() for _ in range(20)))
        await readiness.report()

    asyncio.run(probes())
    assert store.asked == 1


def test_a_check_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_TIMEOUT_SECONDS", 0.01)

    async def hang() -> None:
        await asyncio.Event().wait()

    assert asyncio.run(Readiness({"log": hang}).report()).status == 503


def test_a_service_that_stops_is_not_ready_at_once() -> None:
    readiness = Readiness({"log": Store().check})
    assert asyncio.run(readiness.report()).status == 200
    readiness.drain()
    assert asyncio.run(readiness.report()).status == 503


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def admin_url(store: Store) -> Iterator[str]:
    listener = bind("127.0.0.1", 0)
    server = AdminServer(listener, Readiness({"log": store.check}), Metrics("aggregate", []))
    server.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.stop()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_admin_server_answers_the_same(store: Store, admin_url: str) -> None:
    assert get(f"{admin_url}/livez") == (200, '{"status":"alive"}')
    assert get(f"{admin_url}/readyz") == (200, '{"status":"ready","checks":{"log":"ok"}}')
    assert "whence_build_info{" in get(f"{admin_url}/metrics?x=1")[1]
    assert get(f"{admin_url}/else")[0] == 404


def test_the_admin_server_is_alive_but_not_ready_without_its_store(store: Store, admin_url: str) -> None:
    store.away = True
    status, body = get(f"{admin_url}/readyz")
    assert status == 503
    assert "secret" not in body
    assert get(f"{admin_url}/livez")[0] == 200
