"""Columns for people."""

import pytest

from whence.cli import console


def test_a_table_has_columns_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["name", "pid"], [["postgresql", "7"], ["ingest", "12345"]])
    assert capsys.readouterr().out == "name        pid\npostgresql  7\ningest      12345\n"


def test_an_answer_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    console.answer({"title": "Schürze"})
    assert capsys.readouterr().out == '{"title": "Schürze"}\n'
