"""The report of an evaluation: a page for a browser, or Markdown with its plots beside it. Needs no network."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from whence.cli.plots import bars, lines
from whence.domain.errors import FieldProblem, InvalidInput
from whence.kit.clock import utc_text

if TYPE_CHECKING:
    from whence.evaluation.prequential import Protocol
    from whence.evaluation.run import Result

HTML, MARKDOWN = (".html", ".htm"), (".md",)
COLUMNS = {
    "queries": "queries",
    "ndcg_at_10": "NDCG@10",
    "hr_at_20": "HR@20",
    "recall_at_20": "R@20",
    "mrr_at_20": "MRR@20",
    "coverage": "coverage",
    "novelty_bits": "novelty (bits)",
    "seconds": "seconds",
}
_EXPLANATION = (
    "Before each query of the window every variant is asked for a list from everything earlier; the list is scored "
    "against what the user touched next, and then that is learnt. Percent ± one standard error over queries; all items "
    "are ranked, none are sampled. Coverage is the share of all items that were shown, novelty the mean "
    "self-information of what was shown, seconds what the lists took to make."
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse }}
td, th {{ padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} svg {{ max-width: 100%; margin: 1.5rem 0; display: block }}
</style></head><body><h1>{title}</h1><p>{about}</p>
<table><tr>{head}</tr>
{rows}
</table>
{plots}
<p>{explanation}</p>
</body></html>
"""


def check_report(path: str) -> None:
    """Refuse a file name that tells no form, before anything is computed.

    Raises:
        InvalidInput: If it tells none, or its folder does not exist.
    """
    target = Path(path)
    if target.suffix.lower() not in HTML + MARKDOWN:
        raise InvalidInput([FieldProblem("--report", f"{path}: its name must end in .html or .md")])
    if not target.parent.is_dir():
        raise InvalidInput([FieldProblem("--report", f"{path}: there is no folder {target.parent}")])


def write_report(path: str, found: "Result", protocol: "Protocol", file: str) -> None:
    """Write the report.

    Raises:
        InvalidInput: If the file cannot be written.
    """
    target = Path(path)
    title = f"Evaluation of {Path(file).name}"
    start, end = map(utc_text, protocol.window)
    about = f"From {start} to {end}, targets: {protocol.targets}, frozen: {protocol.freeze}."
    try:
        if target.suffix.lower() in HTML:
            target.write_text(_html(title, about, found), encoding="utf-8")
        else:
            target.write_text(_markdown(title, about, found, _written_plots(target, found)), encoding="utf-8")
    except OSError as error:
        raise InvalidInput([FieldProblem("--report", f"{path} cannot be written: {error.strerror}")]) from error


def _html(title: str, about: str, found: "Result") -> str:
    return _PAGE.format(
        title=escape(title),
        about=escape(about),
        head="".join(f"<th>{escape(name)}</th>" for name in ("variant", *COLUMNS.values())),
        rows="\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in _rows(found)),
        plots="\n".join([*_plots(found), *(f"<p><code>{escape(line)}</code></p>" for line in _blends(found))]),
        explanation=escape(_EXPLANATION),
    )


def _markdown(title: str, about: str, found: "Result", plots: Sequence[str]) -> str:
    head = ["variant", *COLUMNS.values()]
    table = [head, ["---", *("---:" for _ in COLUMNS)], *_rows(found)]
    return "\n\n".join(
        [
            f"# {title}",
            about,
            "\n".join(f"| {' | '.join(row)} |" for row in table),
            *(f"![]({name})" for name in plots),
            *(f"`{line}`" for line in _blends(found)),
            _EXPLANATION + "\n",
        ]
    )


def _written_plots(target: Path, found: "Result") -> list[str]:
    """Write each plot to a file of its own beside the report; their names."""
    names = []
    for number, plot in enumerate(_plots(found), start=1):
        names.append(f"{target.stem}-{number}.svg")
        target.with_name(names[-1]).write_text(plot, encoding="utf-8")
    return names


def _rows(found: "Result") -> list[list[str]]:
    return [[name, *(_cell(figures, column) for column in COLUMNS)] for name, figures in found.figures.items()]


def _cell(figures: "dict[str, float | str]", column: str) -> str:
    error = figures.get(f"{column}_error")
    return f"{figures[column]:g}" if error is None else f"{figures[column]:.2f} ± {error:.2f}"


def _blends(found: "Result") -> list[str]:
    return [f"{name}: WHENCE_BLEND={row['blend']}" for name, row in found.figures.items() if row.get("blend")]


def _plots(found: "Result") -> list[str]:
    plots = [
        bars(f"{COLUMNS[one]}, %", {n: (float(f[one]), float(f[f"{one}_error"])) for n, f in found.figures.items()})
        for one in ("ndcg_at_10", "hr_at_20")
    ]
    days = sorted({day for series in found.daily.values() for day in series})
    if len(days) > 1:
        series = {name: {day: one["ndcg_at_10"] for day, one in own.items()} for name, own in found.daily.items()}
        plots.append(lines("NDCG@10 by day, %", days, series))
    return plots
