"""What other weights would change: the lists of sampled users, read with the product's own statement both ways."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest

from psycopg import Connection

from whence.domain.blend_weights import DEFAULT_BLEND, BlendWeights
from whence.domain.state import Exclude
from whence.kit.database import database_errors
from whence.recommend.database import SESSION
from whence.recommend.read import Ask, Found, read_now
from whence.recommend.recipe import UNPUBLISHED, Recipe, newest_recipes
from whence.recommend.sampling import Sample, sample_users

TOP = 10
"""The length of the lists that are compared: what a list has if nobody says otherwise."""

USERS_MAX = 10_000
"""Users in a sample: a share of them has a standard error of half a percent at most."""

USERS_DEFAULT = 1_000
"""1.6 % at most, in seconds."""

PREVIEW_SECONDS = 120.0
"""Longest comparison; it reads one snapshot, which keeps PostgreSQL from clearing away what was deleted meanwhile."""

EXAMPLES_MAX = 50

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to compare.

    Attributes:
        initial: The weights of the setting.
        changes: New ones by event type.
        exclude, unknown_items, mixture: As in the question of a list, and the settings that shape it.
        users: How many to sample, at most USERS_MAX.
        examples: How many changed lists to show, at most EXAMPLES_MAX.
    """

    initial: Mapping[str, float]
    changes: Mapping[str, float]
    as_of: datetime
    exclude: Exclude = "none"
    unknown_items: bool = True
    mixture: BlendWeights = DEFAULT_BLEND
    users: int = USERS_DEFAULT
    examples: int = 5


@dataclass(frozen=True, slots=True)
class Move:
    """An item of one of the two lists: its ranks in both; None where it is not among the ten."""

    item_id: str
    title: str | None
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Example:
    """A user whose list changes; every item of both lists, in the order of the new one, then those that leave."""

    user_id: str
    moves: tuple[Move, ...]

    @property
    def severity(self) -> tuple[int, int]:
        """How much it changes: how many items enter or leave, then how many places all moved."""
        replaced = sum(move.before is None or move.after is None for move in self.moves)
        return replaced, sum(abs((move.before or TOP + 1) - (move.after or TOP + 1)) for move in self.moves)


@dataclass(frozen=True, slots=True)
class Preview:
    """What the change would do.

    Attributes:
        recipe: In force at the comparison.
        before, after: All weights, now and then.
        sample: The users that were asked about; *compared* is how many the time sufficed for.
        changed: Lists with another item or another order.
        replaced: Those of them with another item.
        examples: The ones that change most.
    """

    recipe: Recipe
    before: Mapping[str, float]
    after: Mapping[str, float]
    sample: Sample
    compared: int
    changed: int
    replaced: int
    examples: tuple[Example, ...]

    @property
    def share(self) -> float:
        """Of the compared users, those whose list changes."""
        return self.changed / self.compared if self.compared else 0.0

    @property
    def standard_error(self) -> float:
        """Of the share, for all users; 0 if all of them were compared.

        Source: the standard error of a proportion, with the correction for finite populations. One is added to both
        outcomes, so that a sample without a change does not claim to be certain.
        """
        users = max(self.sample.population, self.compared)
        if not self.compared or (self.sample.is_counted and self.compared == users):
            return 0.0
        share = (self.changed + 1) / (self.compared + 2)
        return math.sqrt(share * (1 - share) / self.compared * (1 - self.compared / users))


def preview(connection: Connection, proposal: Proposal, tell: Progress = lambda *_: None) -> Preview:
    """Compare the top ten of sampled users with the weights in force and with the proposed ones, at one moment.

    Args:
        connection: Autocommitting; one read-only snapshot of it is used.
        proposal: What to compare.
        tell: Called after each user with how many are done, and of how many.

    Raises:
        DependencyUnavailable: If PostgreSQL does not serve us.
    """
    with database_errors():
        for setting in SESSION:
            connection.execute(setting.encode())
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            recipe = next(iter(newest_recipes(connection)), UNPUBLISHED)
            before = recipe.over(proposal.initial)
            after = {**before, **proposal.changes}
            sample = sample_users(connection, proposal.users)
            outcomes = []
            for outcome in _outcomes(connection, proposal, sample.users, before, after):
                outcomes.append(outcome)
                tell(len(outcomes), len(sample.users))
    changed = [outcome for outcome in outcomes if outcome]
    return Preview(
        recipe=recipe,
        before=before,
        after=after,
        sample=sample,
        compared=len(outcomes),
        changed=len(changed),
        replaced=sum(example.severity[0] > 0 for example in changed),
        examples=tuple(nlargest(proposal.examples, changed, key=lambda example: example.severity)),
    )


def _outcomes(
    connection: Connection,
    proposal: Proposal,
    users: Sequence[str],
    before: Mapping[str, float],
    after: Mapping[str, float],
) -> Iterator[Example | None]:
    """What becomes of each user's list, as far as the time suffices."""
    ends_at = time.monotonic() + PREVIEW_SECONDS
    for user in users:
        yield _compared(connection, proposal, user, before, after)
        if time.monotonic() > ends_at:
            return


def _compared(
    connection: Connection, proposal: Proposal, user: str, before: Mapping[str, float], after: Mapping[str, float]
) -> Example | None:
    """The user's lists side by side; None if they are equal."""
    one, other = (_top(connection, proposal, user, weights) for weights in (before, after))
    if [found.item_id for found in one] == [found.item_id for found in other]:
        return None
    old = {found.item_id: rank for rank, found in enumerate(one, start=1)}
    new = {found.item_id: rank for rank, found in enumerate(other, start=1)}
    titles = {found.item_id: found.item["title"] for found in (*one, *other) if found.item}
    return Example(user, tuple(Move(item, titles.get(item), old.get(item), new.get(item)) for item in new | old))


def _top(connection: Connection, proposal: Proposal, user: str, weights: Mapping[str, float]) -> tuple[Found, ...]:
    ask = Ask(
        subjects=[user],
        partitions=[],
        weights=weights,
        as_of=proposal.as_of,
        size=TOP,
        exclude=proposal.exclude,
        unknown_items=proposal.unknown_items,
        evidence_max=0,
        mixture=proposal.mixture,
        published=False,
    )
    return read_now(connection, ask).found
