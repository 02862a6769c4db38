"""The baselines against their definitions."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from whence.evaluation.baselines import OwnScores, Popularity
from whence.evaluation.product import Event

START = datetime(2024, 3, 1, tzinfo=UTC)


def test_popularity_ranks_by_count_then_id_and_leaves_out_what_was_seen() -> None:
    rng = random.Random(1)
    events = [Event(f"u{rng.randrange(3)}", f"i{rng.randrange(40)}", "view", START) for _ in range(300)]
    popularity = Popularity()
    popularity.learn(events)
    counts = Counter(event.item for event in events)
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    seen = {event.item for event in events if event.user == "u1"}

    assert popularity.ask("u1", START, "none") == ranked[:20]
    assert popularity.ask("u1", START, "seen") == [item for item in ranked if item not in seen][:20]


def test_own_scores_are_the_decayed_sums_and_hold_nothing_new() -> None:
    old, new = START - timedelta(days=90), START
    own = OwnScores()
    own.learn([Event("u", "often", "view", old)] * 3 + [Event("u", "once", "purchase", new)])
    own.learn([Event("u", "never", "dismiss", new), Event("v", "other", "view", new)])

    assert own.ask("u", new, "none") == ["often", "once"]
    assert own.ask("u", new, "seen") == []
