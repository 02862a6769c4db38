"""What the demonstration says, and how it counts the moves in a list."""

from datetime import UTC, datetime

import pytest

from whence.cli import narration, story
from whence.cli.sample_import import History
from whence.cli.story import Line, Seen


def seen(*items: str, events: int = 0) -> Seen:
    """A list of these items."""
    lines = [Line(rank, item, f"Item {item}", 0.5, f"Because of {item}.") for rank, item in enumerate(items, 1)]
    return Seen("ada", lines, events, 4.4)


def test_moves_say_what_is_new_what_rose_and_what_fell() -> None:
    found = story.moves(seen("a", "b", "c"), seen("x", "b", "a"))
    assert [(move.line.item_id, move.mark) for move in found] == [("x", "new"), ("b", "="), ("a", "-2")]


def test_a_rise_has_a_plus() -> None:
    assert story.moves(seen("a", "b"), seen("b", "a"))[0].mark == "+1"


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (0, "ada is new. Not personal yet: 0 of your events"),
        (1, "ada has 1 event here. The list took 4 ms"),
        (1_234, "ada has 1,234 events here. The list took 4 ms"),
    ],
)
def test_a_list_is_introduced_by_what_it_rests_on(events: int, said: str) -> None:
    assert narration.whose(seen("a", events=events)) == said


def history(sent: int) -> History:
    """A history of which *sent* purchases were sent, in two seconds."""
    return History(65_780, 2_419, sent, 786, datetime(2026, 11, 25, 17, 13, tzinfo=UTC), 2.0, 0.5)


def test_an_import_tells_its_rate_and_how_far_the_times_were_moved() -> None:
    said = " ".join(" ".join(narration.history(history(65_780))).split())
    assert said.startswith("65,780 purchases of 2,419 customers sent")
    assert "32,890 events/s" in said
    assert "moved by 786 weeks, so that the last purchase was on 25 November 2026" in said


def test_an_import_that_goes_on_says_how_many_were_still_missing() -> None:
    said = " ".join(" ".join(narration.history(history(780))).split())
    assert said.startswith("780 of 65,780 purchases")


def test_a_repeated_import_says_that_nothing_was_sent_and_has_no_rate() -> None:
    said = " ".join(" ".join(narration.history(history(0))).split())
    assert "are there already; nothing was sent again" in said
    assert history(0).events_per_second == 0


def test_the_sum_is_told_in_words_with_its_arithmetic_and_ends_with_the_score() -> None:
    bought = {"code": "own_signal", "event_type": "purchase", "item_id": "a", "count": 2}
    parts = [
        {**bought, "contribution": 0.25, "arithmetic": "0.5 × 0.5"},
        {"code": "trending", "contribution": 0.05, "horizon": "6h", "arithmetic": "0.16 × 0.3125"},
    ]
    assert list(narration.why({"score": 0.3, "parts": parts})) == [
        "    0.25000  own_signal: purchase of a, 2 times",
        "             = 0.5 × 0.5",
        "    0.05000  trending: 6h",
        "             = 0.16 × 0.3125",
        "    0.30000  is the score",
    ]


def test_every_line_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    lines = [*narration.history(history(10)), *narration.listed(seen("a", "b").lines)]
    assert max(map(len, lines)) <= 40
