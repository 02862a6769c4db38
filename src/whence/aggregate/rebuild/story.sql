-- name: lock
SELECT pg_try_advisory_lock(hashtextextended('whence rebuild ' || current_schema(), 0))
