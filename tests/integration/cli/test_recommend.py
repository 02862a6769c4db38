"""`whence recommend` and `whence why` through the real program and a real service."""

import json
import math
from datetime import UTC, datetime, timedelta

import pytest

from conftest import Installation
from integration.cli.conftest import Service
from integration.recommend.states import Entry, Shop, signal, write_shop
from program import Program
from whence.domain.state import Recent, State


@pytest.fixture
def shop(installation: Installation) -> None:
    at = datetime.now(UTC) - timedelta(minutes=30)
    state = State(
        [Recent(1, at, 1), Recent(2, at, 0)],
        [signal(1, "purchase", [at] * 6), signal(2, "view", [at]), signal(3, "dismiss", [at])],
    )
    catalogue = {1: Entry(), 3: Entry(categories=("toys",))}
    with installation.connect() as database:
        write_shop(database, Shop({"a b/c": state}, 4, trends={"6h": {3: 0.5, 4: 0.25}}, catalogue=catalogue))


@pytest.mark.usefixtures("shop")
def test_a_list_is_shown_with_scores_and_reasons(recommend: Service, program: Program) -> None:
    done = program.run("recommend", "a b/c", "--limit", "3", **recommend.settings)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["#", "score", "item", "reason"]
    assert "Item 1 (i1)" in lines[1]
    assert "Recommended because you bought it 6 times" in " ".join(lines[1:3])
    assert "made from what this user did" in lines[-1]
    assert "i3" not in done.stdout


@pytest.mark.usefixtures("shop")
def test_json_is_the_answer_of_the_service(recommend: Service, program: Program) -> None:
    done = program.run("recommend", "a b/c", "--explain", "--json", **recommend.settings)
    answer = json.loads(done.stdout)
    assert answer["user_id"] == "a b/c"
    for item in answer["items"]:
        assert math.fsum(part["contribution"] for part in item["evidence"]) == pytest.approx(item["score"], abs=1e-9)


@pytest.mark.usefixtures("shop")
def test_options_reach_the_service(recommend: Service, program: Program) -> None:
    words = ["recommend", "nobody", "--session", "a b/c", "--exclude", "purchased", "--exclude-item", "i4", "--json"]
    answer = json.loads(program.run(*words, **recommend.settings).stdout)
    assert [item["item_id"] for item in answer["items"]] == ["i2"]
    answer = json.loads(program.run("recommend", "x", "--category", "toys", "--json", **recommend.settings).stdout)
    assert [item["item_id"] for item in answer["items"]] == ["i3"]


@pytest.mark.usefixtures("shop")
def test_a_user_who_is_not_known_is_told_so(recommend: Service, program: Program) -> None:
    assert "not personal yet" in program.run("recommend", "nobody", **recommend.settings).stdout


@pytest.mark.usefixtures("shop")
def test_the_evidence_is_listed_if_asked_for(recommend: Service, program: Program) -> None:
    done = program.run("recommend", "a b/c", "--explain", **recommend.settings)
    assert "own signal i1: 6 purchase" in " ".join(done.stdout.split())


@pytest.mark.usefixtures("shop")
def test_why_shows_the_arithmetic(recommend: Service, program: Program) -> None:
    done = program.run("why", "a b/c", "i1", **recommend.settings)
    assert done.returncode == 0, done.stderr
    assert "listed at rank 1" in done.stdout
    (arithmetic,) = [line.split("= ")[1] for line in done.stdout.splitlines() if line.startswith("    = ")]
    (score,) = [line.split()[0] for line in done.stdout.splitlines() if "score, the sum" in line]
    assert eval(arithmetic) == pytest.approx(float(score), abs=1e-15)  # numbers and operators alone
    assert "6 purchase" in done.stdout


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("item", "told"), [("i3", "dismissed"), ("zz", "unknown_item")])
def test_why_says_what_keeps_an_item_out(recommend: Service, program: Program, item: str, told: str) -> None:
    assert f"({told})" in program.run("why", "a b/c", item, **recommend.settings).stdout
    answer = json.loads(program.run("why", "a b/c", item, "--json", **recommend.settings).stdout)
    assert [obstacle["code"] for obstacle in answer["not_listed_because"]] == [told]


def test_wrong_use_names_the_word(recommend: Service, program: Program) -> None:
    done = program.run("recommend", "u", "--after", "yesterday", **recommend.settings)
    assert done.returncode == 2
    assert "freshness token" in done.stderr
    done = program.run("recommend", "u", "--limit", "51", **recommend.settings)
    assert done.returncode == 2
    assert "--limit" in done.stderr


@pytest.mark.parametrize("words", [("recommend", "u"), ("why", "u", "i")])
def test_nobody_to_talk_to_says_how_to_start_it(program: Program, words: tuple[str, ...]) -> None:
    done = program.run(*words)
    assert done.returncode == 3
    assert "whence up" in done.stderr
