"""What `whence weights` says: recipes and previews as documents and as lines."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from whence.cli import console
from whence.kit.clock import utc_text

if TYPE_CHECKING:
    from whence.recommend.preview import Example, Move, Preview
    from whence.recommend.recipe import Recipe

Moves = Mapping[str, tuple[float | None, float]]
"""The old and the new weight of each type that changes."""


def moves_of(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, tuple[float | None, float]]:
    """What differs between two lists of weights."""
    return {name: (old.get(name), weight) for name, weight in new.items() if old.get(name) != weight}


def recipe_document(recipe: "Recipe") -> dict[str, Any]:
    """A recipe for `--json`."""
    at = recipe.published_at
    return {
        "version": recipe.version,
        "published_at": at and utc_text(at),
        "published_by": recipe.published_by,
        "weights": dict(recipe.weights),
    }


def headline(recipe: "Recipe") -> str:
    """Which version, when and by whom."""
    if recipe.published_at is None:
        return "no weights were published (version 0): those of WHENCE_EVENT_TYPES count"
    at = f"{recipe.published_at:%Y-%m-%d %H:%M:%S} UTC"
    return console.printable(f"version {recipe.version}, published {at} by {recipe.published_by}")


def origin(name: str, recipe: "Recipe", initial: Mapping[str, float]) -> str:
    """Where the weight of a type comes from."""
    if name not in recipe.weights:
        return "initial"
    if name not in initial:
        return "published; not in WHENCE_EVENT_TYPES"
    same = initial[name] == recipe.weights[name]
    return "published" if same else f"published; WHENCE_EVENT_TYPES says {initial[name]:g}"


def listed(weights: Mapping[str, float]) -> str:
    """Weights as they are typed."""
    return " ".join(f"{name}={weight:g}" for name, weight in weights.items())


def changes_document(moved: Moves) -> dict[str, Any]:
    """Changes for `--json`."""
    return {name: {"from": old, "to": new} for name, (old, new) in moved.items()}


def told_changes(moved: Moves) -> str:
    """Changes in words."""
    told = [f"{name} {'none' if old is None else f'{old:g}'} → {new:g}" for name, (old, new) in moved.items()]
    return ", ".join(told) or "the same weights, published"


def preview_document(found: "Preview") -> dict[str, Any]:
    """A preview for `--json`; shares are fractions of 1."""
    users = found.sample.population
    return {
        "version": found.recipe.version,
        "weights": dict(found.before),
        "proposed": dict(found.after),
        "changes": changes_document(moves_of(found.before, found.after)),
        "sampled": found.compared,
        "users": users,
        "users_are_counted": found.sample.is_counted,
        "complete": found.compared == len(found.sample.users),
        "changed": found.changed,
        "replaced": found.replaced,
        "changed_share": found.share,
        "standard_error": found.standard_error,
        "changed_users": round(found.share * users),
        "changed_users_standard_error": found.standard_error * users,
        "examples": [_example_document(example) for example in found.examples],
    }


def preview_lines(found: "Preview") -> Iterator[str]:
    """A preview for people."""
    yield f"{told_changes(moves_of(found.before, found.after))}; in force is version {found.recipe.version}"
    if not found.compared:
        yield "no user has touched an item yet: no list depends on weights"
        return
    users = found.sample.population
    if found.standard_error:
        about = "" if found.sample.is_counted else "about "
        yield (
            f"the top ten changes for {found.share:.1%} ± {found.standard_error:.1%} of {about}{users:,} users: about "
            f"{found.share * users:,.0f} ± {found.standard_error * users:,.0f} ({found.compared:,} sampled)"
        )
    else:
        yield f"the top ten changes for {found.changed:,} of {users:,} users"
    in_order = found.changed - found.replaced
    yield f"of the {found.compared:,} compared: {found.replaced:,} with other items, {in_order:,} in another order only"
    if found.compared < len(found.sample.users):
        yield f"the time sufficed for {found.compared:,} of {len(found.sample.users):,} sampled users"
    for example in found.examples:
        yield ""
        yield f"user {example.user_id}"
        yield from (f"  {_move_line(move)}" for move in example.moves)


def _move_line(move: "Move") -> str:
    name = f"{move.title} ({move.item_id})" if move.title else move.item_id
    rank = f"{move.after:2}" if move.after else " -"
    if move.before is None:
        return f"{rank}  {name}  new"
    if move.after is None:
        return f"{rank}  {name}  leaves, was {move.before}"
    return f"{rank}  {name}" + ("" if move.before == move.after else f"  was {move.before}")


def _example_document(example: "Example") -> dict[str, Any]:
    before = sorted((m.before, m.item_id) for m in example.moves if m.before)
    after = [m.item_id for m in example.moves if m.after]
    moved = [m for m in example.moves if m.before != m.after]
    return {
        "user_id": example.user_id,
        "before": [item for _, item in before],
        "after": after,
        "moved": [{"item_id": m.item_id, "title": m.title, "from": m.before, "to": m.after} for m in moved],
    }
