"""`whence import events` through a real ingest and straight to the log."""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from conftest import Installation
from integration.cli.conftest import Ingest
from program import PATIENCE_SECONDS, Program, until

TARGETS = pytest.mark.parametrize("to", ["api", "log"])


def event(number: int, **more: Any) -> dict[str, Any]:
    """A purchase of long ago; seven users."""
    return {
        "event_type": "purchase",
        "user_id": f"u{number % 7}",
        "item_id": f"i{number}",
        "occurred_at": f"2011-03-01T12:{number // 60 % 60:02}:{number % 60:02}Z",
        **more,
    }


def lines(program: Program, name: str, rows: list[Any]) -> Path:
    path = program.folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def summary(ingest: Ingest, program: Program, *words: str, code: int = 0) -> dict[str, Any]:
    done = program.run("import", "events", *words, "--json", **ingest.settings)
    assert done.returncode == code, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@TARGETS
def test_a_file_arrives_as_a_backfill_of_its_name(ingest: Ingest, program: Program, to: str) -> None:
    lines(program, "history 2011.jsonl", [event(number, event_id=f"e{number}") for number in range(2_500)])
    told = summary(ingest, program, "history 2011.jsonl", "--to", to)
    assert (told["rows"], told["accepted"], told["rejected"]) == (2_500, 2_500, 0)
    assert told["name"] == "history 2011"
    assert told["seconds"] > 0
    assert told["events_per_second"] > 0
    found = ingest.events()
    assert {logged.event_id for logged in found} == {f"e{number}" for number in range(2_500)}
    assert {logged.backfill for logged in found} == {"history 2011"}
    assert all(logged.received_at is not None for logged in found)
    assert sum(int(place.split(":")[1]) for place in told["token"].split(".")[1].split(",")) == 2_500


@TARGETS
def test_the_rows_of_one_user_keep_their_order(ingest: Ingest, program: Program, to: str) -> None:
    lines(program, "a.jsonl", [event(number) for number in range(5_000)])
    summary(ingest, program, "a.jsonl", "--to", to)
    numbers: dict[str, list[int]] = defaultdict(list)
    for logged in ingest.events():
        numbers[logged.subject].append(int(logged.item_id[1:]))
    assert sorted(numbers) == [f"u{number}" for number in range(7)]
    assert all(seen == sorted(seen) for seen in numbers.values())


def test_the_same_rows_have_the_same_ids_whichever_way_they_go(ingest: Ingest, program: Program) -> None:
    rows = [event(1), event(2), event(1), event(1, value=3)]
    lines(program, "a.jsonl", rows)
    for to in ("api", "api", "log"):
        assert summary(ingest, program, "a.jsonl", "--to", to)["accepted"] == 4
    found = [logged.event_id for logged in ingest.events()]
    assert len(found) == 12
    assert all(found.count(event_id) == 3 for event_id in found)


@TARGETS
def test_bad_rows_are_named_and_the_good_ones_go_in(ingest: Ingest, program: Program, to: str) -> None:
    rows = [
        event(1),
        "no json at all",
        event(2, quantity=0),
        event(3, event_type="veiw"),
        {**event(4), "user_id": None},
        '{"event_type": "view", "user_id": "u1", "item_id": "i1", "value": NaN}',
        event(5, item_id="i" * 257, colour="red"),
        event(6),
    ]
    lines(program, "a.jsonl", rows)
    told = summary(ingest, program, "a.jsonl", "--to", to, code=1)
    assert (told["rows"], told["accepted"], told["rejected"]) == (8, 2, 6)
    bad = {entry["row"]: {error["field"] for error in entry["errors"]} for entry in told["bad_rows"]}
    assert bad == {
        2: {""},
        3: {"quantity"},
        4: {"event_type"},
        5: {"user_id"},
        6: {"value"},
        7: {"item_id", "colour"},
    }
    assert {logged.item_id for logged in ingest.events()} == {"i1", "i6"}


def test_people_read_which_row_is_bad_and_what_would_be_right(ingest: Ingest, program: Program) -> None:
    lines(program, "a.jsonl", [event(1), *(event(number, quantity=-1) for number in range(30))])
    done = program.run("import", "events", "a.jsonl", **ingest.settings)
    assert done.returncode == 1
    assert "31 rows: 1 accepted, 30 rejected" in done.stdout
    assert "row 2: quantity must be above 0" in done.stderr
    assert "… and 10 more bad rows" in done.stderr


def test_csv_parquet_and_compressed_files_arrive(ingest: Ingest, program: Program) -> None:
    cells = "event_type,session_id,item_id,quantity\nview,s1,csv,2\n"
    (program.folder / "a.csv").write_text(cells)
    (program.folder / "b.csv.gz").write_bytes(gzip.compress(cells.replace(",csv,", ",gz,").encode()))
    table = arrow.table({name: [value] for name, value in event(1, item_id="parquet").items()})
    parquet.write_table(table, program.folder / "c.parquet")
    for name in ("a.csv", "b.csv.gz", "c.parquet"):
        assert summary(ingest, program, name)["accepted"] == 1
    found = {logged.item_id: logged for logged in ingest.events()}
    assert set(found) == {"csv", "gz", "parquet"}
    assert found["csv"].quantity == 2.0
    assert found["csv"].session_id == "s1"
    assert [found[name].backfill for name in ("csv", "gz", "parquet")] == ["a", "b", "c"]


def test_standard_input_needs_a_name(ingest: Ingest, program: Program) -> None:
    path = lines(program, "rows", [event(1)])
    with path.open("rb") as rows:
        nameless = program.run_reading(rows, "import", "events", "-", **ingest.settings)
        assert nameless.returncode == 2
        assert "--name" in nameless.stderr
        named = program.run_reading(rows, "import", "events", "-", "--name", "piped", **ingest.settings)
    assert named.returncode == 0, named.stderr
    assert [logged.backfill for logged in ingest.events()] == ["piped"]


def test_an_import_outlives_a_restart_of_ingest(ingest: Ingest, program: Program) -> None:
    count = 40_000
    lines(program, "long.jsonl", [event(number, event_id=f"e{number}") for number in range(count)])
    running = program.start("import", "events", "long.jsonl", "--json", **ingest.settings)
    assert until(lambda: len(ingest.events()) > 0)
    ingest.stop()
    ingest.start()
    out, complaints = running.communicate(timeout=PATIENCE_SECONDS)
    assert running.returncode == 0, complaints
    assert json.loads(out)["accepted"] == count
    assert {logged.event_id for logged in ingest.events()} == {f"e{number}" for number in range(count)}


def test_keys_are_sent_and_their_absence_is_explained(installation: Installation, program: Program) -> None:
    ingest = Ingest(program, installation, WHENCE_API_KEYS="secret-key-1")
    ingest.start()
    lines(program, "a.jsonl", [event(1)])
    assert summary(ingest, program, "a.jsonl")["accepted"] == 1
    done = program.run("import", "events", "a.jsonl", **{**ingest.settings, "WHENCE_API_KEYS": ""})
    assert done.returncode == 2
    assert "key" in done.stderr.lower()


@pytest.mark.parametrize("words", [["import", "events", "a.jsonl"], ["send", "view", "--user", "u", "--item", "i"]])
def test_nobody_to_talk_to_says_how_to_start_it(program: Program, words: list[str]) -> None:
    lines(program, "a.jsonl", [event(1)])
    unknown = program.run(*words)
    assert unknown.returncode == 3
    assert "whence up" in unknown.stderr
    silent = program.run(*words, WHENCE_INGEST_URL="http://127.0.0.1:9")
    assert silent.returncode == 3
    assert "127.0.0.1:9" in silent.stderr
    assert "Traceback" not in unknown.stderr + silent.stderr


def test_wrong_use_is_explained(ingest: Ingest, program: Program) -> None:
    (program.folder / "a.txt").write_text("")
    (program.folder / "a.jsonl").write_text("")
    (program.folder / "bad.csv").write_text("event_type,usr_id,item_id\nview,u1,i1\n")
    for words, says in [
        (["missing.jsonl"], "missing.jsonl: cannot be read"),
        (["a.txt"], "--format"),
        (["bad.csv"], "did you mean user_id"),
        (["a.jsonl", "--name", "x" * 65], "64"),
        (["a.jsonl", "--to", "nowhere"], "nowhere"),
    ]:
        done = program.run("import", "events", *words, **ingest.settings)
        assert done.returncode == 2, words
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    assert ingest.events() == []
