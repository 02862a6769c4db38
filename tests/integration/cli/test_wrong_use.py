"""Mistakes at the command line: one message that names the word, the exit code of the contract, no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from program import Program


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sevre"], "No such command 'sevre'. Did you mean 'serve'?"),
        (["quux"], "No such command 'quux'. There are: up, down"),
        (["serve"], "Missing argument 'service'. Choose from: ingest, aggregate, recommend"),
        (["serve", "ingets"], "'ingets' is not one of 'ingest', 'aggregate', 'recommend'"),
        (["serve", "ingest", "--port", "99999"], "'--port': Input should be less than or equal to 65535."),
        (["serve", "ingest", "--prot", "1"], "No such option: --prot"),
        (["up", "--state"], "--state"),
        (["down", "now"], "now"),
        (["config", "shwo"], "Did you mean 'show'?"),
        (["openapi", "aggregate"], "'aggregate' is not one of 'ingest', 'recommend'"),
        (["serve", "recommend"], "WHENCE_DATABASE_URL: recommend needs a PostgreSQL"),
    ],
)
def test_wrong_words(program: Program, words: list[str], says: str) -> None:
    done = program.run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"WHENCE_EVNT_TYPES": "view=1"},
            "WHENCE_EVNT_TYPES: there is no such setting; did you mean WHENCE_EVENT_TYPES?",
        ),
        ({"WHENCE_LOG_PARTITIONS": "many"}, "WHENCE_LOG_PARTITIONS: "),
        ({"WHENCE_DATABASE_URL": "mysql://x"}, "WHENCE_DATABASE_URL: must be a postgresql:// URL"),
        ({"WHENCE_HOST": "0.0.0.0"}, "WHENCE_HOST: 0.0.0.0 can be reached from other machines"),
        ({"WHENCE_HOST": "203.0.113.9", "WHENCE_INSECURE": "1"}, "WHENCE_HOST: cannot listen on '203.0.113.9'"),
        ({"WHENCE_STATE": "/dev/null/state"}, "cannot write"),
        ({"WHENCE_API_KEYS_FILE": "/nowhere"}, "WHENCE_API_KEYS_FILE: cannot read /nowhere"),
    ],
)
@pytest.mark.parametrize("words", [("up",), ("up", "--detach")])
def test_wrong_settings(program: Program, words: tuple[str, ...], settings: dict[str, str], says: str) -> None:
    done = program.run(*words, **settings)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_in_a_file_that_is_no_toml(program: Program) -> None:
    (program.folder / "whence.toml").write_text("host = ")
    done = program.run("config", "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert "whence.toml: is not valid TOML" in done.stderr


def test_a_database_that_does_not_answer(program: Program) -> None:
    settings = {"WHENCE_DATABASE_URL": "postgresql://shop:hush@127.0.0.1:9/shop"}
    for words in (("up",), ("up", "--detach"), ("migrate",)):
        done = program.run(*words, **settings)
        assert done.returncode == 3, words
        assert "PostgreSQL does not serve us" in done.stderr
        assert "hush" not in done.stderr
        assert "Traceback" not in done.stderr


def test_migrate_without_anything_running_says_how_to_start_it(program: Program) -> None:
    done = program.run("migrate")
    assert done.returncode == 3
    assert "whence up" in done.stderr


def test_down_and_status_without_anything_running(program: Program) -> None:
    for words in (("down",), ("status",)):
        done = program.run(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert "nothing runs" in done.stdout
    assert json.loads(program.run("status", "--json").stdout) == []
    assert not program.state.exists()


def test_help_without_a_word(program: Program) -> None:
    done = program.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: whence" in done.stderr
    assert program.run("--help").returncode == 0


def test_a_reader_that_leaves_early_is_no_error(program: Program) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "whence", "config", "show"],
        cwd=program.folder,
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""


def test_secrets_are_hidden(program: Program, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("hush-1,hush-2\n")
    settings = {
        "WHENCE_DATABASE_URL": "postgresql://shop:hush@db/shop?password=hush",
        "WHENCE_API_KEYS_FILE": str(keys),
    }
    for words in (("config", "show"), ("config", "show", "--json")):
        done = program.run(*words, **settings)
        assert done.returncode == 0
        assert "hush" not in done.stdout + done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["WHENCE_DATABASE_URL"]["source"] == "WHENCE_DATABASE_URL"
    assert rows["WHENCE_API_KEYS"] == {"name": "WHENCE_API_KEYS", "value": "***", "source": "WHENCE_API_KEYS_FILE"}
    assert rows["WHENCE_HOST"] == {"name": "WHENCE_HOST", "value": "127.0.0.1", "source": "default"}


def test_doctor_finds_a_machine_in_order(program: Program) -> None:
    done = program.run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert {"PostgreSQL", "state folder"} <= {finding["name"] for finding in json.loads(done.stdout) if finding["ok"]}
    assert not program.state.exists()


def test_doctor_says_what_is_missing(program: Program) -> None:
    done = program.run("doctor", WHENCE_DATABASE_URL="postgresql://127.0.0.1:9/shop", WHENCE_STATE="/dev/null/state")
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()[:2]] == ["MISSING", "MISSING"]
