-- name: page
-- What is held of a user, newest first, from a place on. A user's rows lie together in the primary key; one pass over
-- them finds the page, and only its rows are given their names.
SELECT external_id AS item_id, name AS event_type, count, log_sum, last_at, page.item_id AS item_ref, code
FROM (
    SELECT item_id, event_type, count, log_sum, last_at
    FROM signal
    WHERE user_id = (SELECT id FROM user_ref WHERE external_id = :user_id)
        AND (
            :after_last_at::timestamptz IS NULL
            OR (last_at, item_id, event_type) < (:after_last_at, :after_item::bigint, :after_code::smallint)
        )
    ORDER BY last_at DESC, item_id DESC, event_type DESC
    LIMIT :size
) AS page
JOIN item_ref ON item_ref.id = page.item_id
JOIN event_type ON code = page.event_type
ORDER BY last_at DESC, page.item_id DESC, code DESC;
