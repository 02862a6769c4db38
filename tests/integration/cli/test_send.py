"""`whence send` through a real ingest."""

import json
import uuid

from integration.cli.conftest import Ingest
from program import Program
from whence.domain.tokens import parse_token


def test_an_event_arrives_and_its_id_and_token_are_printed(ingest: Ingest, program: Program) -> None:
    done = program.run("send", "click", "--user", "u1", "--item", "i/1", **ingest.settings)
    assert done.returncode == 0, done.stderr
    told = dict(line.split() for line in done.stdout.splitlines())
    assert uuid.UUID(told["event_id"]).version == 7
    assert list(parse_token(told["token"]).offsets.values()) == [1]
    (logged,) = ingest.events()
    assert (logged.event_type, logged.user_id, logged.item_id) == ("click", "u1", "i/1")
    assert logged.event_id == told["event_id"]


def test_every_field_arrives(ingest: Ingest, program: Program) -> None:
    fields = {
        "--session": "s1",
        "--item": "i1",
        "--id": "e1",
        "--value": "2.5",
        "--quantity": "3",
        "--recommendation": "rec_1",
        "--position": "4",
        "--surface": "home",
    }
    words = [word for pair in fields.items() for word in pair]
    done = program.run("send", "view", *words, "--json", **ingest.settings)
    assert json.loads(done.stdout)["event_id"] == "e1"
    (logged,) = ingest.events()
    assert (logged.user_id, logged.session_id, logged.value, logged.quantity) == (None, "s1", 2.5, 3.0)
    assert (logged.recommendation_id, logged.position, logged.surface) == ("rec_1", 4, "home")


def test_what_is_wrong_is_named(ingest: Ingest, program: Program) -> None:
    good = ["--user", "u1", "--item", "i1"]
    for words, says in [
        (["veiw", *good], "event_type: must be one of: view"),
        (["view", "--item", "i1"], "--user"),
        (["view", "--user", "u1"], "--item"),
        (["view", *good, "--quantity", "0"], "quantity: must be above 0"),
        (["view", *good, "--at", "2011-01-01T00:00:00Z"], "occurred_at: is more than 12 h"),
        (["view", *good, "--at", "noon"], "occurred_at: must be an RFC 3339 time"),
        (["view", *good, "--value", "nan"], "value"),
        (["view", "--user", "", "--item", "i1"], "user_id"),
    ]:
        done = program.run("send", *words, **ingest.settings)
        assert done.returncode == 2, words
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    assert ingest.events() == []
