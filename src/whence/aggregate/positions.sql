-- name: positions
SELECT partition, log_id, base_offset, next_offset, applied, duplicate, dead, absent, last_appended_at, last_event_at
FROM partition_position ORDER BY partition

-- name: verdicts
SELECT "offset" FROM dead_letter WHERE partition = :partition AND "offset" >= :start AND "offset" < :end
