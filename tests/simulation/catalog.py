"""All statements that the simulated database understands."""

from functools import lru_cache

from simulation import compacting as fold
from simulation import statements as batch
from simulation.database import Database, Statement
from simulation.world import World
from whence.aggregate import compactor, idmap, pair_fold, takeover, write


@lru_cache(maxsize=1)
def _all() -> dict[str, tuple[str, Statement]]:
    ids = ["known_users", "known_items", "add_users", "add_items"]
    takes = ["hold_position", "take_over", "window", "backfill_hashes"]
    reads = ["recents_of", "touched_before"]
    writes = ["swap_position", "add_signals", "put_recents", "add_segment", "add_dead_letters"]
    folds = ["lead", "unfolded", "add_buckets", "move_positions", "total", "delete_segments", "empty_segments", "books"]
    by_module = (
        (idmap, batch, ids),
        (takeover, batch, takes),
        (write, batch, reads + writes),
        (compactor, fold, folds),
        (pair_fold, fold, ["counts_of", "put_counts"]),
    )
    found: dict[str, tuple[str, Statement]] = {}
    for module, doers, names in by_module:
        found |= batch.named(module, {name: getattr(doers, name) for name in names})
    found |= batch.named(write, {"limits": batch.nothing})
    unmodelled = ("limits", "fold_in_turn", "rank", "delete_pairs", "delete_buckets")
    found |= batch.named(compactor, dict.fromkeys(unmodelled, batch.nothing))
    return found | batch.named(pair_fold, dict.fromkeys(("put_neighbours", "sizes_of"), batch.nothing))


EVENT_TYPES = {"view": 1, "click": 2, "cart": 3, "purchase": 4, "dismiss": 5}


def new_database(world: World) -> Database:
    """An empty database with the built-in event types."""
    database = Database(world, _all())
    database.tables.types = dict(EVENT_TYPES)
    return database
