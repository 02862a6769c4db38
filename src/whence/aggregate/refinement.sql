-- name: lock
SELECT pg_try_advisory_lock(hashtextextended('whence refinement ' || current_schema(), 0))

-- name: unlock!
SELECT pg_advisory_unlock(hashtextextended('whence refinement ' || current_schema(), 0))

-- name: last_fit
SELECT as_of FROM refined_fit

-- name: positions
SELECT partition, next_offset FROM partition_position

-- name: touches!
-- The last touch of each user and item, in microseconds since the epoch, of the newest active users; event types are
-- not told apart, and a dismissal is no touch.
COPY (
    WITH active AS (
        SELECT user_id
        FROM signal JOIN event_type ON code = event_type
        WHERE name <> :dismiss
        GROUP BY user_id
        ORDER BY max(last_at) DESC, user_id
        LIMIT :users_max
    )
    SELECT user_id, item_id, (extract(epoch FROM max(last_at)) * 1000000)::bigint
    FROM signal JOIN active USING (user_id) JOIN event_type ON code = event_type
    WHERE name <> :dismiss
    GROUP BY user_id, item_id
) TO STDOUT (FORMAT binary)

-- name: clear!
-- Readers go on with the former rows until the transaction commits.
DELETE FROM item_refined

-- name: put_weights!
INSERT INTO item_refined (source_id, destination_ids, weights, mass)
SELECT source_id, (:targets)[first : last], (:weights)[first : last], mass
FROM unnest(:sources, :starts, :ends, :masses) AS row (source_id, first, last, mass)

-- name: note_fit!
INSERT INTO refined_fit (as_of, positions, touches, weights, seconds)
VALUES (:as_of, :positions, :touches, :weights, :seconds)
ON CONFLICT (only_row) DO UPDATE
SET as_of = excluded.as_of, positions = excluded.positions, touches = excluded.touches, weights = excluded.weights,
    seconds = excluded.seconds, fitted_at = now()
