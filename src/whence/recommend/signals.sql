-- name: newest
-- What is held of a user, newest first, from a place on: all of it if it is at most :sorted_max signals, else that on the
-- newest items. A user's rows lie together in the primary key, and no index has their times, so that updates stay cheap.
-- One row at least, which tells whether there is more than :sorted_max.
WITH subject AS MATERIALIZED (
    SELECT id FROM user_ref WHERE external_id = :user_id
),
first AS MATERIALIZED (
    SELECT * FROM signal WHERE user_id = (SELECT id FROM subject) LIMIT :sorted_max + 1
),
size AS MATERIALIZED (
    SELECT count(*) > :sorted_max AS is_large FROM first
),
own AS (
    SELECT first.* FROM size JOIN first ON NOT is_large
    UNION ALL
    SELECT held.*
    FROM size
    JOIN user_recent ON is_large AND user_id = (SELECT id FROM subject)
    CROSS JOIN recent_items(packed) AS recent
    CROSS JOIN LATERAL (
        SELECT * FROM signal WHERE signal.user_id = user_recent.user_id AND signal.item_id = recent.item_id OFFSET 0
    ) AS held
),
page AS (
    SELECT item_id, event_type, count, log_sum, last_at
    FROM own
    WHERE :after_last_at::timestamptz IS NULL
        OR (last_at, item_id, event_type) < (:after_last_at, :after_item::bigint, :after_code::smallint)
    ORDER BY last_at DESC, item_id DESC, event_type DESC
    LIMIT :size
)
SELECT
    is_large, external_id AS item_id, name AS event_type, count, log_sum, last_at, page.item_id AS item_ref, code
FROM size
LEFT JOIN (page JOIN item_ref ON item_ref.id = page.item_id JOIN event_type ON code = page.event_type) ON true
ORDER BY last_at DESC, page.item_id DESC, code DESC;

-- name: others
-- What is held of a user on items that are not among the newest, by item, from a place on.
WITH subject AS MATERIALIZED (
    SELECT id FROM user_ref WHERE external_id = :user_id
),
page AS (
    SELECT item_id, event_type, count, log_sum, last_at
    FROM signal
    WHERE user_id = (SELECT id FROM subject)
        AND (item_id, event_type) > (:after_item::bigint, :after_code::smallint)
        AND item_id <> ALL (ARRAY(
            SELECT recent.item_id
            FROM user_recent CROSS JOIN recent_items(packed) AS recent
            WHERE user_id = (SELECT id FROM subject)
        ))
    ORDER BY item_id, event_type
    LIMIT :size
)
SELECT external_id AS item_id, name AS event_type, count, log_sum, last_at, page.item_id AS item_ref, code
FROM page
JOIN item_ref ON item_ref.id = page.item_id
JOIN event_type ON code = page.event_type
ORDER BY page.item_id, code;
