-- name: newest
-- Published recipes, the one in force first.
SELECT version, weights, published_at, published_by FROM recipe ORDER BY version DESC LIMIT :size;

-- name: lock
-- Become the only one that publishes, until the transaction ends: a recipe is the one before it with some changes.
SELECT pg_advisory_xact_lock(hashtextextended('whence recipe ' || current_schema(), 0));

-- name: add
-- The next version.
INSERT INTO recipe (version, weights, published_at, published_by)
SELECT coalesce(max(version), 0) + 1, :weights::jsonb, clock_timestamp(), :published_by FROM recipe
RETURNING version, weights, published_at, published_by;

-- name: types
-- All event types that were ever declared.
SELECT name FROM event_type ORDER BY code;
