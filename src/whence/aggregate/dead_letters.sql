-- name: letters
-- Dead letters in log order, those of one state or all.
SELECT partition, "offset", log_id, reason, detail, key, value, appended_at, dead_at, state
FROM dead_letter
WHERE :state::text IS NULL OR state = :state
ORDER BY partition, "offset"
LIMIT :letters_max

-- name: count_letters
SELECT count(*) FROM dead_letter WHERE :state::text IS NULL OR state = :state

-- name: letter
SELECT partition, "offset", log_id, reason, detail, key, value, appended_at, dead_at, state
FROM dead_letter
WHERE partition = :partition AND "offset" = :offset

-- name: hold_letter
-- The same, held against others who would settle it at the same time.
SELECT partition, "offset", log_id, reason, detail, key, value, appended_at, dead_at, state
FROM dead_letter
WHERE partition = :partition AND "offset" = :offset
FOR UPDATE

-- name: settle_letter!
UPDATE dead_letter SET state = :state WHERE partition = :partition AND "offset" = :offset

-- name: pending_places
SELECT partition, "offset" FROM dead_letter WHERE state = 'pending' ORDER BY partition, "offset"
