"""New weights of event types as people type them: `purchase=12`."""

import difflib
from collections.abc import Collection, Iterable

from whence.domain.errors import FieldProblem, InvalidInput
from whence.domain.events import WEIGHT_MAX, WEIGHT_RANGE, parse_weight


def parse_changes(words: Iterable[str], known: Collection[str]) -> dict[str, float]:
    """The new weights that `TYPE=W` words ask for.

    Args:
        words: Each names one type.
        known: The event types that there are.

    Raises:
        InvalidInput: With one problem for each word that is wrong; without any word.
    """
    changes: dict[str, float] = {}
    problems = []
    for word in words:
        name, _, number = (part.strip() for part in word.partition("="))
        if problem := _problem(word, name, number, known, changes):
            problems.append(problem)
        else:
            changes[name] = parse_weight(number) or 0.0
    if not changes and not problems:
        problems.append(FieldProblem("TYPE=W", "say which weights, as in purchase=12"))
    if problems:
        raise InvalidInput(problems)
    return changes


def _problem(
    word: str, name: str, number: str, known: Collection[str], changes: Collection[str]
) -> FieldProblem | None:
    if "=" not in word:
        return FieldProblem(word, "say TYPE=W, as in purchase=12")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        return FieldProblem(word, f"{name!r} is no event type of this installation; {hint}")
    if name in changes:
        return FieldProblem(word, f"{name!r} is named twice")
    if parse_weight(number) is None:
        return FieldProblem(word, f"the weight must be {WEIGHT_RANGE}, not {number!r}", WEIGHT_MAX)
    return None
