-- name: page
-- What is held of a user, newest first, from a place on. A user's rows lie together in the primary key.
SELECT external_id AS item_id, name AS event_type, count, log_sum, last_at, signal.item_id AS item_ref, code
FROM signal
JOIN item_ref ON item_ref.id = signal.item_id
JOIN event_type ON code = signal.event_type
WHERE user_id = (SELECT id FROM user_ref WHERE external_id = :user_id)
    AND (
        :after_last_at::timestamptz IS NULL
        OR (last_at, signal.item_id, code) < (:after_last_at, :after_item::bigint, :after_code::smallint)
    )
ORDER BY last_at DESC, signal.item_id DESC, code DESC
LIMIT :size;
