-- name: make!
-- What an evaluation keeps to go on after a kill: how far its walk is, and what was answered so far. Both move in the
-- transaction of what the walk has taught.
CREATE TABLE IF NOT EXISTS evaluation_place (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    groups bigint NOT NULL,
    compacted timestamptz NOT NULL,
    refined timestamptz NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS evaluation_answer (
    query bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lists text NOT NULL
);
CREATE TABLE IF NOT EXISTS evaluation_note (
    name text PRIMARY KEY,
    value text NOT NULL
);

-- name: place
SELECT groups, compacted, refined FROM evaluation_place

-- name: answers
SELECT lists FROM evaluation_answer ORDER BY query

-- name: add_answers!
INSERT INTO evaluation_answer (lists) SELECT * FROM unnest(:lists::text[])

-- name: keep!
INSERT INTO evaluation_place (groups, compacted, refined) VALUES (:groups, :compacted, :refined)
ON CONFLICT (only_row) DO UPDATE
SET groups = excluded.groups, compacted = excluded.compacted, refined = excluded.refined, kept_at = now()

-- name: note!
INSERT INTO evaluation_note (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: noted
SELECT value FROM evaluation_note WHERE name = :name

-- name: has_notes
SELECT to_regclass('evaluation_note') IS NOT NULL

-- name: lock
SELECT pg_try_advisory_lock(hashtextextended('whence evaluation ' || :namespace, 0))
