"""What the documents name exists: links, commands, options, settings, Makefile targets, metrics, routes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from whence.cli.main import app
from whence.kit.settings import SECRETS, Settings, variable

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "src").rglob("*.md")),
]

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[;&|(]\s*|\s)(?:\.venv/bin/)?whence ((?:[a-z][a-z-]*)(?: [^\n`;&|]*)?)")
METRIC = re.compile(r"\b((?:whence|http_server)_[a-z_]+)\b")
SETTING = re.compile(r"\bWHENCE_[A-Z_]+\b")

NOT_SETTINGS = {"WHENCE_FUZZ"}
"""Variables of the tests, not of the product."""

ids = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def code_of(text: str) -> Iterator[str]:
    """The pieces of code in a document, line by line: fenced blocks, then inline code."""
    for block in FENCE.findall(text):
        yield from block.replace("\\\n", " ").splitlines()
    yield from INLINE.findall(FENCE.sub("", text))


def headings(path: Path) -> set[str]:
    """The anchors of a document's headings as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def commands() -> dict[str, Any]:
    """All commands by their full name, groups included."""
    found: dict[str, Any] = {}

    def walk(prefix: str, command: Any) -> None:
        for name, child in getattr(command, "commands", {}).items():
            found[f"{prefix}{name}"] = child
            walk(f"{prefix}{name} ", child)

    walk("", typer.main.get_command(app))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    targets = [link or image for link, image in LINK.findall(path.read_text(encoding="utf-8"))]
    missing = []
    for target in targets:
        file, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in headings(place)):
            missing.append(target)
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_command_and_option_exists(path: Path) -> None:
    known = commands()
    wrong = []
    for code in code_of(path.read_text(encoding="utf-8")):
        for text in COMMAND.findall(code):
            words = text.split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
            if name not in known:
                wrong.append(code)
                continue
            options = {option for parameter in known[name].params for option in parameter.opts}
            wrong += [f"{code}: {word}" for word in words if word.startswith("--") and word not in options]
    assert not wrong


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    known = {variable(name) for name in Settings.model_fields} | NOT_SETTINGS
    known |= {variable(f"{secret}_file") for secret in SECRETS}
    named = set(SETTING.findall(path.read_text(encoding="utf-8")))
    assert {name for name in named - known if not name.endswith("_")} == set()


def test_every_setting_is_documented() -> None:
    documented = set(SETTING.findall((ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")))
    assert {variable(name) for name in Settings.model_fields} <= documented


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_make_target_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for code in code_of(path.read_text(encoding="utf-8"))
        for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", code)
    }
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=ids)
def test_every_metric_that_is_named_is_declared(path: Path) -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    named = set(METRIC.findall(path.read_text(encoding="utf-8")))
    assert {name for name in named if f'"{name}"' not in sources} == set()


def test_the_api_document_names_exactly_the_routes_that_there_are() -> None:
    described: set[str] = set()
    for service in ("ingest", "recommend"):
        document = json.loads((ROOT / "docs" / "openapi" / f"{service}.json").read_text(encoding="utf-8"))
        described |= {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:GET|PUT|POST|DELETE) /v1/[^`?]*)`", text))
    assert named == described


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name for name in files if f"({name})" not in index] == []
    assert [name[:4] for name in files] == [f"{number:04}" for number in range(1, len(files) + 1)]


def test_the_readme_names_both_commands_and_where_the_sample_shop_comes_from() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {"make demo", "make test"} <= {line.strip().removeprefix("$ ") for line in code_of(readme)}
    assert "Chen, Sain, Guo 2012" in readme
    assert "CC BY 4.0" in readme
