"""The report of an evaluation: complete, readable as XML, and safe with any name."""

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from whence.cli.evaluation_report import check_report, write_report
from whence.cli.plots import bars, lines
from whence.domain.errors import InvalidInput
from whence.evaluation.metrics import Scores
from whence.evaluation.prequential import Protocol
from whence.evaluation.run import Figures, Result

PROTOCOL = Protocol((datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)), "all")


def result(days: int = 3) -> Result:
    figures: dict[str, Figures] = {}
    daily = {}
    for name in ("whence", "<b>odd & ends</b>"):
        scores = Scores()
        for day in range(days):
            scores.add(["a", "b"], {"a" if day else "b"}, datetime(2024, 3, 1 + day, tzinfo=UTC).date(), 2.5)
        figures[name] = {**scores.figures(4), "blend": "own=0.6" if name == "whence" else ""}
        daily[name] = scores.daily()
    return Result(figures, daily)


def test_the_page_has_every_variant_with_errors_plots_and_settings(tmp_path: Path) -> None:
    write_report(str(tmp_path / "page.html"), result(), PROTOCOL, "some/log.jsonl")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")

    assert "Evaluation of log.jsonl" in page
    assert "<td>87.70 ± " in page
    assert "&lt;b&gt;odd &amp; ends&lt;/b&gt;" in page
    assert "<b>odd" not in page
    assert page.count("<svg") == 3
    assert "WHENCE_BLEND=own=0.6" in page


def test_markdown_has_its_plots_beside_it(tmp_path: Path) -> None:
    write_report(str(tmp_path / "page.md"), result(days=1), PROTOCOL, "log.jsonl")
    text = (tmp_path / "page.md").read_text(encoding="utf-8")

    assert "| whence | 1 | 63.09 ± 0.00 |" in text
    for name in ("page-1.svg", "page-2.svg"):
        assert f"![]({name})" in text
        ElementTree.fromstring((tmp_path / name).read_text(encoding="utf-8"))
    assert not (tmp_path / "page-3.svg").exists(), "one day makes no line"


@pytest.mark.parametrize("values", [{}, {"nothing": (0.0, 0.0)}, {"a & b": (12.5, 0.5), "c": (25.0, 0.0)}])
def test_bars_are_as_long_as_their_values(values: dict[str, tuple[float, float]]) -> None:
    plot = ElementTree.fromstring(bars("NDCG@10 < 100", values))
    widths = [float(bar.attrib["width"]) for bar in plot.iter("{http://www.w3.org/2000/svg}rect")]

    assert len(widths) == len(values)
    if len(values) == 2:
        assert widths[0] * 2 == pytest.approx(widths[1], abs=0.2)


def test_lines_leave_days_without_a_value_out() -> None:
    plot = ElementTree.fromstring(lines("by day", ["1", "2", "3"], {"a": {"1": 1.0, "3": 2.0}, "b": {}}))
    drawn = [line.attrib["points"].split() for line in plot.iter("{http://www.w3.org/2000/svg}polyline")]

    assert [len(points) for points in drawn] == [2, 2, 2, 2, 0]


@pytest.mark.parametrize(
    ("name", "problem"), [("page.pdf", "must end in .html or .md"), ("nowhere/page.md", "there is no folder nowhere")]
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(name: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        check_report(name)
