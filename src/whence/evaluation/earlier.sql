-- name: touched
-- The items that a user has touched.
SELECT DISTINCT item_id
FROM signal
JOIN event_type ON code = event_type
WHERE user_id = (SELECT id FROM user_ref WHERE external_id = :user) AND name <> :dismiss

-- name: known
-- The internal ids of items.
SELECT id FROM item_ref WHERE external_id = ANY (:items)
