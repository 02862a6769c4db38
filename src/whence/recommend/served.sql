-- name: keep
-- Write served lists down.
INSERT INTO served_list (recommendation_id, served_at, answer)
SELECT id, at, answer::jsonb FROM unnest(:ids::text[], :times::timestamptz[], :answers::text[]) AS given (id, at, answer)
ON CONFLICT DO NOTHING;

-- name: find
-- A served list; the time bounds which days are looked into.
SELECT answer::text FROM served_list WHERE recommendation_id = :id AND served_at = :served_at;

-- name: lock
-- Become the one that looks after the days, until the transaction ends.
SELECT pg_try_advisory_xact_lock(hashtextextended('whence served_list housekeeping ' || current_schema(), 0));

-- name: days
-- The days that there are.
SELECT relname
FROM pg_inherits
JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'served_list'::regclass;
