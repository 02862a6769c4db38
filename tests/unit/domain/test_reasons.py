"""One honest sentence per item: hand-written expectations."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from whence.domain.reasons import Evidence, EvidenceCode, reason

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
OCTOBER = datetime(2026, 10, 3, 9, 30, tzinfo=UTC)
LAST_YEAR = datetime(2025, 12, 31, 23, 59, tzinfo=UTC)


def own(event_type: str, count: int, last_at: datetime | None = OCTOBER, contribution: float = 0.1) -> Evidence:
    return Evidence("own_signal", contribution, "i1", "Shoe", event_type, count, last_at)


def through(code: EvidenceCode, event_type: str = "view", count: int = 1, title: str | None = "Trail shoe") -> Evidence:
    return Evidence(code, 0.1, "i2", title, event_type, count, OCTOBER)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (own("purchase", 6), "Recommended because you bought it 6 times, last on 3 October."),
        (own("purchase", 1), "Recommended because you bought it on 3 October."),
        (own("view", 2), "Recommended because you viewed it 2 times, last on 3 October."),
        (own("view", 1), "Recommended because you viewed it on 3 October."),
        (own("click", 1), "Recommended because you clicked it on 3 October."),
        (own("cart", 1), "Recommended because you put it in your cart on 3 October."),
        (own("cart", 3), "Recommended because you put it in your cart 3 times, last on 3 October."),
        (own("wish", 1), "Recommended because you have a “wish” event on it, on 3 October."),
        (own("wish", 2), "Recommended because you have 2 “wish” events on it, last on 3 October."),
        (own("purchase", 6, LAST_YEAR), "Recommended because you bought it 6 times, last on 31 December 2025."),
        (own("view", 1, LAST_YEAR), "Recommended because you viewed it on 31 December 2025."),
        (
            through("co_viewed"),
            "Recommended because it was seen together with “Trail shoe”, which you viewed on 3 October.",
        ),
        (
            through("co_viewed", "purchase", 2),
            "Recommended because it was seen together with “Trail shoe”, which you bought 2 times, last on 3 October.",
        ),
        (
            through("co_viewed", "cart", 1, None),
            "Recommended because it was seen together with “i2”, which you put in your cart on 3 October.",
        ),
        (
            through("co_viewed", "wish", 1),
            "Recommended because it was seen together with “Trail shoe”, on which you have a “wish” event, "
            "on 3 October.",
        ),
        (
            through("co_bought", "purchase", 3),
            "Recommended because it was bought together with “Trail shoe”, which you bought 3 times, "
            "last on 3 October.",
        ),
        (
            through("co_bought"),
            "Recommended because it was bought together with “Trail shoe”, which you viewed on 3 October.",
        ),
        (
            through("refined", "wish", 4),
            "Recommended because it is linked to “Trail shoe”, on which you have 4 “wish” events, last on 3 October.",
        ),
        (
            through("refined"),
            "Recommended because it is linked to “Trail shoe”, which you viewed on 3 October.",
        ),
        (
            Evidence("trending", 0.16 * 0.123, horizon="6h", activity=0.123),
            "Trending: 12.3 % of the most recent activity was on it.",
        ),
        (
            Evidence("trending", 0.08, horizon="1d", activity=1.0),
            "Trending: 100 % of the most recent activity was on it.",
        ),
        (
            Evidence("trending", 0.06 * 0.002, horizon="7d", activity=0.002),
            "Popular: 0.2 % of the activity of late was on it.",
        ),
        (
            Evidence("trending", 0.16 * 0.0004, horizon="6h", activity=0.0004),
            "Trending: less than 0.1 % of the most recent activity was on it.",
        ),
        (
            Evidence("popular_in_category", 0.06 * 0.5, horizon="7d", activity=0.5, category="Kitchen"),
            "Popular in Kitchen: 50 % of the activity of late was on it.",
        ),
        (Evidence("catalogue", 0.0), "From the catalogue, to fill the list: nothing speaks for it yet."),
        (Evidence("known_item", 0.0), "Known from events alone, to fill the list: nothing speaks for it yet."),
    ],
)
def test_a_piece_of_evidence_has_its_sentence(part: Evidence, sentence: str) -> None:
    assert reason([part], NOW) == sentence


@pytest.mark.parametrize(
    "evidence",
    [
        [],
        [own("view", 1, contribution=-0.1)],
        [own("view", 1, contribution=0.0)],
        [own("view", 0)],
        [own("view", 1, last_at=None)],
        [Evidence("own_signal", 0.1, "i1")],
        [Evidence("co_viewed", 0.1, "i2", "Shoe")],
        [Evidence("co_viewed", 0.1, None, None, "view", 1, OCTOBER)],
        [Evidence("trending", 0.1)],
    ],
)
def test_without_evidence_that_speaks_for_the_item_there_is_no_sentence(evidence: list[Evidence]) -> None:
    assert reason(evidence, NOW) is None


def test_the_strongest_evidence_speaks_whatever_its_place() -> None:
    weak, strong = own("view", 1, contribution=0.1), own("purchase", 2, contribution=0.2)
    for evidence in ([weak, strong], [strong, weak]):
        assert reason(evidence, NOW) == "Recommended because you bought it 2 times, last on 3 October."


def test_evidence_against_the_item_is_no_reason_however_strong() -> None:
    against = Evidence("refined", -0.9, "i2", "Shoe", "view", 1, OCTOBER)
    assert reason([against, own("view", 1)], NOW) == "Recommended because you viewed it on 3 October."


def test_evidence_without_words_gives_way_to_the_next() -> None:
    nameless = Evidence("co_viewed", 0.5)
    assert reason([nameless, own("view", 1)], NOW) == "Recommended because you viewed it on 3 October."


def test_days_and_years_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=10))
    new_year_in_the_east = datetime(2027, 1, 1, 5, 0, tzinfo=east)  # 19:00 on 31 December in UTC
    assert reason([own("view", 1, new_year_in_the_east)], NOW) == "Recommended because you viewed it on 31 December."


def test_titles_are_cut_and_kept_on_one_line() -> None:
    sentence = reason([through("refined", title="A\n  very " + "long " * 40 + "title")], NOW)
    assert sentence is not None
    assert "\n" not in sentence
    assert "“A very long long" in sentence
    assert "…”, which you viewed on 3 October." in sentence
    assert len(sentence) < 170


def test_no_share_is_rounded_up() -> None:
    sentence = reason([Evidence("trending", 0.16 * 0.9999, horizon="6h", activity=0.9999)], NOW)
    assert sentence == "Trending: 99.9 % of the most recent activity was on it."
