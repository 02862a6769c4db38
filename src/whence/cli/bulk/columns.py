"""Which columns a file of events or items may have, and what their texts mean in CSV.

A text that cannot be what its column wants stays a text: the check on the other side then names the field, the limit
and the fix, in the same words for all formats.
"""

import difflib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from whence.domain.errors import FieldProblem, InvalidInput

CATEGORY_SEPARATOR = "|"
"""Between the categories of a CSV cell; a cell may also hold a JSON list."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one kind of file.

    Attributes:
        what: What a row is, for messages.
        meanings: For each column, how a CSV cell is read.
        required: The columns that a file cannot do without; of each group one is enough.
    """

    what: str
    meanings: Mapping[str, Callable[[str], Any]]
    required: tuple[tuple[str, ...], ...]

    def with_texts(self, *names: str) -> "Columns":
        """The same with further columns, which are read as text."""
        return replace(self, meanings={**self.meanings, **{name: self.meanings.get(name, _text) for name in names}})

    def check(self, names: Collection[str]) -> None:
        """Refuse a file whose columns cannot be right, before anything is sent.

        Raises:
            InvalidInput: With one problem for each column that is unknown, missing or there twice.
        """
        problems = [self._unknown(name) for name in names if name not in self.meanings]
        for group in self.required:
            if not set(group) & set(names):
                problems.append(FieldProblem(" or ".join(group), f"is missing; a file of {self.what}s needs it"))
        for name in sorted({name for name in names if list(names).count(name) > 1}):
            problems.append(FieldProblem(name, "is there twice; keep one column of that name"))
        if problems:
            raise InvalidInput(problems)

    def meaning(self, cells: Mapping[str, str]) -> dict[str, Any]:
        """The fields that the texts of a row mean; an empty cell is an absent field."""
        return {name: self.meanings[name](text) for name, text in cells.items() if text}

    def _unknown(self, name: str) -> FieldProblem:
        near = difflib.get_close_matches(name, self.meanings, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(self.meanings)}; leave the column out"
        return FieldProblem(name, f"is no field of an {self.what}; {hint}")


def _text(text: str) -> str:
    return text


def _number(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _whole_number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _truth(text: str) -> bool | str:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(text.lower(), text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _categories(text: str) -> Any:
    if text.startswith("["):
        return _json(text)
    return [part.strip() for part in text.split(CATEGORY_SEPARATOR) if part.strip()]


EVENT_COLUMNS = Columns(
    "event",
    {
        "event_id": _text,
        "event_type": _text,
        "user_id": _text,
        "session_id": _text,
        "item_id": _text,
        "occurred_at": _text,
        "value": _number,
        "quantity": _number,
        "recommendation_id": _text,
        "position": _whole_number,
        "surface": _text,
        "context": _json,
    },
    (("event_type",), ("item_id",), ("user_id", "session_id")),
)
"""The columns of a file of events."""

ITEM_COLUMNS = Columns(
    "item",
    {
        "item_id": _text,
        "title": _text,
        "description": _text,
        "categories": _categories,
        "attributes": _json,
        "available": _truth,
        "url": _text,
        "image_url": _text,
    },
    (("item_id",), ("title",)),
)
"""The columns of a file of items."""
