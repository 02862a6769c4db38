"""`whence evaluate`: the walk over the real product, what it must not know, going on after a kill, and the command."""

import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from conftest import Installation
from integration.recommend.live import running
from program import Program
from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights, parse_blend
from whence.domain.errors import InvalidInput
from whence.domain.events import parse_event_types
from whence.evaluation.prequential import Group, Protocol, Walk, grouped
from whence.evaluation.product import Event, Product
from whence.evaluation.run import Result, evaluate
from whence.evaluation.variants import parse_variants

START = datetime(2024, 3, 1, tzinfo=UTC)
TYPES = parse_event_types("view=1,click=2,cart=3,purchase=5,dismiss=0")
WINDOW = (START + timedelta(days=10), START + timedelta(days=99))


def habits(seed: int, days: int = 20, users: int = 30) -> list[Event]:
    """Users who walk through a family of items in order: what comes next can be learnt from others."""
    rng = random.Random(seed)
    events = []
    for user in range(users):
        family = user % 3
        begin = START + timedelta(hours=rng.randrange(days * 24))
        for step in range(rng.randrange(3, 9)):
            at = begin + timedelta(minutes=step)
            events.append(Event(f"u{user}", f"f{family}-{step}", "view", at))
    return sorted(events, key=lambda event: (event.at, event.user))


def groups_of(events: list[Event]) -> list[Group]:
    return grouped(events, list(range(len(events))))


def compared(url: str, groups: list[Group], protocol: Protocol, *words: str, key: str = "a test") -> Result:
    return evaluate(url, groups, TYPES, protocol, parse_variants(words, DEFAULT_BLEND, TYPES), key)


def schemas(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'evaluation%'").fetchone()
        return int(row[0]) if row else -1


def test_the_product_learns_what_comes_next_where_popularity_cannot(postgres_url: str) -> None:
    found = compared(postgres_url, groups_of(habits(2, users=60)), Protocol(WINDOW, "unseen", 40)).figures

    assert found["whence"]["queries"] == found["popularity"]["queries"] == 40
    assert float(found["whence"]["hr_at_20"]) > 90
    assert float(found["whence"]["ndcg_at_10"]) > float(found["popularity"]["ndcg_at_10"]) + 10
    assert found["own_scores"]["hr_at_20"] == 0
    assert schemas(postgres_url) == 0


def test_variants_of_one_walk_find_what_they_find_alone(postgres_url: str) -> None:
    groups, protocol = groups_of(habits(5, users=40)), Protocol(WINDOW, "all", 60)
    words = ["whence", "no-short", "mine:own=3,rank_factor=0.9"]
    together = compared(postgres_url, groups, protocol, *words).figures
    alone = {word.split(":")[0]: compared(postgres_url, groups, protocol, word).figures for word in words}

    for name, figures in together.items():
        assert figures | {"seconds": 0} == alone[name][name] | {"seconds": 0}
    assert len({figures["ndcg_at_10"] for figures in together.values()}) == 3


def test_a_killed_evaluation_goes_on_to_the_same_figures(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whence.evaluation.book.KEEP_SECONDS", 0.0)
    groups, protocol = groups_of(habits(6, users=60)), Protocol(WINDOW, "all")
    whole = compared(postgres_url, groups, protocol, "whence", "popularity").figures
    comparison = parse_variants(["whence", "popularity"], DEFAULT_BLEND, TYPES)
    asked = []

    def kill(stage: str, done: int, total: int) -> None:
        asked.append(done)
        if stage == "asking" and done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(postgres_url, groups, TYPES, protocol, comparison, "a test", kill)
    assert schemas(postgres_url) == 1
    again = evaluate(postgres_url, groups, TYPES, protocol, comparison, "a test").figures

    for name, figures in whole.items():
        assert again[name] | {"seconds": 0} == figures | {"seconds": 0}
    assert float(again["whence"]["seconds"]) < float(whole["whence"]["seconds"])
    assert schemas(postgres_url) == 0


def test_a_proposal_is_made_from_earlier_days_and_reported_beside_what_is_in_force(postgres_url: str) -> None:
    """What is in force knows trends alone; habits are far better to go by, earlier and later."""
    groups = groups_of(habits(9, users=150))
    trends_alone = BlendWeights(short=0.0001, long=0.0001, long_alone=0.0001, refined=0.0001)
    comparison = parse_variants(["whence"], trends_alone, TYPES)
    figures = [
        evaluate(postgres_url, kept, TYPES, Protocol(WINDOW, "unseen"), comparison, "a test", tune=trends_alone).figures
        for kept in (groups, [group for group in groups if group.at < START + timedelta(days=12)])
    ]

    assert float(figures[0]["tuned"]["ndcg_at_10"]) > float(figures[0]["whence"]["ndcg_at_10"]) + 10
    assert figures[0]["tuned"]["blend"] == figures[1]["tuned"]["blend"], "it depends on nothing in the window"
    assert parse_blend(str(figures[0]["tuned"]["blend"])).short > 0.0001


def test_a_proposal_needs_earlier_days(postgres_url: str) -> None:
    groups, comparison = groups_of(habits(9)), parse_variants([], DEFAULT_BLEND, TYPES)
    protocol = Protocol((START - timedelta(days=1), WINDOW[1]), "all")
    with pytest.raises(InvalidInput, match="28 days before --from have no query"):
        evaluate(postgres_url, groups, TYPES, protocol, comparison, "a test", tune=DEFAULT_BLEND)
    assert schemas(postgres_url) == 0


def test_the_event_that_is_asked_for_does_not_change_the_answer(installation: Installation) -> None:
    """The same list whether the target is about to come, another item is, or nothing."""
    events = habits(3)
    last = events[-1]
    other = Event(last.user, "something else", last.event_type, last.at)
    lists: list[list[str]] = []
    with installation.connect() as connection:
        product = Product(connection, TYPES)
        ask = product.asker(DEFAULT_BLEND, TYPES.weights)
        for target in ([last], [other]):
            walk = Walk(product, {"it": lambda *asked: lists.append(ask(*asked)) or lists[-1]})  # type: ignore[func-returns-value]
            walk.run(groups_of([*events[:-1], *target]), Protocol((last.at, WINDOW[1]), "all", 1))
        product.compact(last.at)
        lists.append(ask(last.user, last.at, "none"))
        product.learn([last])
        assert ask(last.user, last.at, "none") != lists[0]
    assert lists[0] == lists[1] == lists[2] != []


@pytest.mark.needs_data("retailrocket_until_2015-08-24.parquet")
def test_what_was_built_before_the_window_collapses_where_people_browse(postgres_url: str) -> None:
    """If it did not, something would look ahead: a visit is foretold by its own last minutes."""
    groups = groups_of(converted("retailrocket_until_2015-08-24.parquet"))
    window = (datetime(2015, 5, 25, tzinfo=UTC), datetime(2015, 5, 26, tzinfo=UTC))
    live = compared(postgres_url, groups, Protocol(window, "unseen")).figures["whence"]
    frozen = compared(postgres_url, groups, Protocol(window, "unseen", None, "all")).figures["whence"]

    assert float(live["queries"]) > 100
    assert float(frozen["ndcg_at_10"]) < float(live["ndcg_at_10"]) / 3


def converted(name: str) -> list[Event]:
    """A log of the shared data as the committed script converts it."""
    from importlib.util import module_from_spec, spec_from_file_location

    from conftest import SHARED_DATA

    spec = spec_from_file_location("convert", Path(__file__).parents[3] / "scripts" / "convert_evaluation_log.py")
    assert spec
    assert spec.loader
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    rows = script.LOGS[name.split("_")[0]](script.parquet.read_table(SHARED_DATA / name).to_pydict())
    return [
        Event(row["user_id"], row["item_id"], row["event_type"], datetime.fromisoformat(row["occurred_at"]))
        for row in rows
    ]


def test_the_service_gives_the_lists_that_were_scored(installation: Installation) -> None:
    """1,000 users over HTTP, on the state that an evaluation has made."""
    events = habits(7, users=1_000)
    with installation.connect() as connection:
        product = Product(connection, TYPES)
        product.learn(events)
        now = events[-1].at
        product.compact(now)
        product.refine(now)
        ask = product.asker(DEFAULT_BLEND, TYPES.weights)
        with running(installation) as service:
            service.clock.moment = now
            for number in range(1_000):
                user, exclude = f"u{number}", "seen" if number % 2 else "none"
                served = service.ids(user, f"limit=20&explain=none&exclude={exclude}")
                assert served == ask(user, now, "seen" if number % 2 else "none"), user


def written(program: Program, events: list[Event]) -> str:
    rows = [
        {
            "user_id": e.user,
            "item_id": e.item,
            "event_type": e.event_type,
            "occurred_at": e.at.isoformat(),
            "visit": e.user,
        }
        for e in events
    ]
    (program.folder / "log.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return "log.jsonl"


def test_the_command_reports_every_variant(program: Program, postgres_url: str) -> None:
    log = written(program, habits(4))
    words = ["evaluate", log, "--from", "2024-03-10T00:00:00Z", "--to", "2024-06-01T00:00:00Z"]
    done = program.run(*words, "--limit-queries", "5", "--json", WHENCE_DATABASE_URL=postgres_url)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert set(figures) == {"whence", "popularity", "own_scores"}
    assert figures["whence"]["queries"] == 5
    assert {"ndcg_at_10", "hr_at_20", "recall_at_20", "mrr_at_20", "coverage", "seconds"} < set(figures["whence"])
    assert "asking: " in done.stderr

    more = [*words, "--limit-queries", "2", "--group-by", "visit", "--targets", "all", "--report", "page.html"]
    table = program.run(*more, "--variants", "whence", "--variants", "bold:own=9", WHENCE_DATABASE_URL=postgres_url)
    assert "bold: WHENCE_BLEND=own=9" in table.stdout, table.stderr
    page = (program.folder / "page.html").read_text()
    assert page.count("<svg") >= 2
    assert "<td>bold</td>" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_command_that_was_killed_goes_on(program: Program) -> None:
    """On a database of its own, which dies with it."""
    log = written(program, habits(10, users=400))
    words = ["evaluate", log, "--from", "2024-03-04T00:00:00Z", "--to", "2024-06-01T00:00:00Z", "--json"]
    whole = json.loads(program.run(*words).stdout)
    killed = program.start(*words)
    assert killed.stderr
    for line in killed.stderr:
        if line.startswith("asking:"):
            break
    time.sleep(2.0)  # some places are kept meanwhile; if none are, it begins anew, which is right, too
    killed.kill()
    killed.wait()
    again = program.run(*words)

    assert again.returncode == 0, again.stderr
    for name, figures in json.loads(again.stdout).items():
        assert figures | {"seconds": 0} == whole[name] | {"seconds": 0}
    assert not program.state.exists()


def test_a_run_on_its_own_database_leaves_nothing_behind(program: Program) -> None:
    log = written(program, habits(8, users=10))
    words = ["evaluate", log, "--from", "2024-03-02T00:00:00Z", "--to", "2024-06-01T00:00:00Z", "--report", "page.md"]
    done = program.run(*words)

    assert done.returncode == 0, done.stderr
    assert "| own_scores |" in (program.folder / "page.md").read_text()
    assert (program.folder / "page-1.svg").read_text().startswith("<svg")
    assert not program.state.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "yesterday", "--to", "2024-06-01T00:00:00Z"], "--from: 'yesterday' is no RFC 3339 time"),
        (["--from", "2024-01-01T00:00:00Z", "--to", "2024-06-01T00:00:00Z"], "row 1: needs user_id or session_id"),
        (
            ["--from", "2024-01-01T00:00:00Z", "--to", "2024-06-01T00:00:00Z", "--report", "page.pdf"],
            "--report: page.pdf: its name must end in .html or .md",
        ),
        (
            ["--from", "2024-01-01T00:00:00Z", "--to", "2024-06-01T00:00:00Z", "--variants", "x:shirt=1"],
            "--variants: x: shirt can not be changed",
        ),
    ],
)
def test_wrong_use_is_told(program: Program, words: list[str], said: str) -> None:
    (program.folder / "log.jsonl").write_text('{"event_type": "view"}')
    done = program.run("evaluate", "log.jsonl", *words)

    assert done.returncode == 2
    assert said in done.stderr
