"""`whence weights` through the real program, on a real database that real services read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from conftest import Installation
from integration.cli.conftest import Service
from integration.recommend.states import Entry, Shop, signal, write_shop
from integration.recommend.test_recommendations import user
from program import Program


@pytest.fixture
def shop(installation: Installation) -> None:
    at = datetime.now(UTC) - timedelta(days=40)
    torn = user(signal(1, "view", [at] * 6), signal(2, "purchase", [at]))
    with installation.connect() as database:
        write_shop(database, Shop({"u": torn, "v": user(signal(3, "view", [at]))}, 3, catalogue={2: Entry()}))


class Weights:
    """The command over an installation."""

    def __init__(self, program: Program, installation: Installation) -> None:
        self._program = program
        self.settings = installation.settings

    def json(self, *words: str, **settings: str) -> Any:
        """The document of a call that must succeed."""
        done = self._program.run("weights", *words, "--json", **self.settings | settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def said(self, *words: str, code: int = 0) -> str:
        """What it says to people; on stderr if it fails."""
        done = self._program.run("weights", *words, **self.settings)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if code else done.stdout


@pytest.fixture
def weights(program: Program, installation: Installation) -> Weights:
    return Weights(program, installation)


def first(service: Service, program: Program) -> str:
    answer = json.loads(program.run("recommend", "u", "--json", **service.settings).stdout)
    return str(answer["items"][0]["item_id"])


@pytest.mark.usefixtures("shop")
def test_preview_then_set_then_undo(weights: Weights, recommend: Service, program: Program) -> None:
    assert first(recommend, program) == "i1"
    told = weights.json("preview", "purchase=12")
    assert (told["version"], told["changes"]) == (0, {"purchase": {"from": 5.0, "to": 12.0}})
    assert (told["sampled"], told["users"], told["changed"], told["replaced"]) == (2, 2, 1, 0)
    (example,) = told["examples"]
    assert (example["user_id"], example["before"][:2], example["after"][:2]) == ("u", ["i1", "i2"], ["i2", "i1"])
    assert {"item_id": "i2", "title": "Item 2", "from": 2, "to": 1} in example["moved"]
    assert first(recommend, program) == "i1"

    published = weights.json("set", "purchase=12")
    assert (published["version"], published["previous_version"], published["published"]) == (1, 0, True)
    assert published["weights"] == {"view": 1, "click": 2, "cart": 3, "purchase": 12, "dismiss": 0}
    assert first(recommend, program) == "i2"

    undone = weights.json(*published["undo"].split()[2:])
    assert (undone["version"], undone["weights"]["purchase"]) == (2, 5)
    assert first(recommend, program) == "i1"


@pytest.mark.usefixtures("shop")
def test_what_people_read(weights: Weights) -> None:
    assert "no weights were published" in weights.said("show")
    told = weights.said("preview", "purchase=12").splitlines()
    assert told[0] == "purchase 5 → 12; in force is version 0"
    assert told[1] == "the top ten changes for 1 of 2 users"
    assert told[2] == "of the 2 compared: 0 with other items, 1 in another order only"
    assert told[4:7] == ["user u", "   1  Item 2 (i2)  was 2", "   2  i1  was 1"]
    said = weights.said("set", "purchase=12", "view=-0.5")
    assert "version 1 is in force (before: 0): view 1 → -0.5, purchase 5 → 12" in said
    assert "all weights now: view=-0.5 click=2 cart=3 purchase=12 dismiss=0" in said
    assert "undo: whence weights set view=1 purchase=5" in said
    assert "nothing to publish: version 1 has these weights" in weights.said("set", "purchase=12")
    assert "published; WHENCE_EVENT_TYPES says 5" in weights.said("show")


def test_show_tells_versions_who_and_when(weights: Weights) -> None:
    weights.json("set", "purchase=12")
    weights.json("set", "purchase=13", "--expect", "1")
    told = weights.json("show", "--history", WHENCE_EVENT_TYPES="view=1,purchase=9,wish=2")
    assert (told["version"], told["weights"]["purchase"], told["initial"]["purchase"]) == (2, 13, 9)
    assert told["weights"]["wish"] == 2
    assert "@" in told["published_by"]
    assert told["published_at"].endswith("Z")
    assert [(entry["version"], entry["weights"]["purchase"]) for entry in told["history"]] == [(2, 13), (1, 12)]
    assert weights.said("show", "--history").count("published 20") == 3


@pytest.mark.parametrize("command", ["preview", "set"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["purchse=12"], "purchse=12: 'purchse' is no event type of this installation; did you mean purchase?"),
        (["purchase"], "purchase: say TYPE=W, as in purchase=12"),
        (["purchase=nan"], "the weight must be a number from -1000000 to 1000000, not 'nan'"),
        (["purchase=1e9"], "the weight must be a number from -1000000 to 1000000, not '1e9'"),
        (["view=1", "view=2"], "'view' is named twice"),
        ([], "Missing argument"),
    ],
)
def test_wrong_weights_are_named(weights: Weights, command: str, words: list[str], says: str) -> None:
    assert says in weights.said(command, *words, code=2)


def test_another_version_than_expected_publishes_nothing(weights: Weights) -> None:
    assert "(version 0)" in weights.said("set", "view=2", "--expect", "4", code=1)
    weights.json("set", "view=2")
    said = weights.said("set", "view=3", "--expect", "0", code=1)
    assert "version 1, published 20" in said
    assert "that is not 0, nothing was changed" in said
    assert weights.json("show")["version"] == 1


def test_a_type_that_only_the_services_know_can_be_set(weights: Weights, installation: Installation) -> None:
    with installation.connect() as database:
        database.execute("INSERT INTO event_type (name) VALUES ('wish')")
    assert weights.json("set", "wish=4")["weights"]["wish"] == 4


@pytest.mark.parametrize("words", [("show",), ("preview", "view=1"), ("set", "view=1")])
def test_nobody_to_talk_to_says_how_to_start_it(program: Program, words: tuple[str, ...]) -> None:
    done = program.run("weights", *words)
    assert done.returncode == 3
    assert "whence up" in done.stderr
