-- name: known_users
-- Internal ids of those users that have one.
SELECT external_id, id FROM user_ref WHERE external_id = ANY (:external_ids::text[])

-- name: known_items
SELECT external_id, id FROM item_ref WHERE external_id = ANY (:external_ids::text[])

-- name: add_users
-- Ids for new users, taken in the order of the external ids, so that two writers never wait for each other crosswise.
INSERT INTO user_ref (external_id)
SELECT external_id FROM unnest(:external_ids::text[]) WITH ORDINALITY AS given (external_id, place) ORDER BY place
ON CONFLICT (external_id) DO NOTHING
RETURNING external_id, id

-- name: add_items
INSERT INTO item_ref (external_id)
SELECT external_id FROM unnest(:external_ids::text[]) WITH ORDINALITY AS given (external_id, place) ORDER BY place
ON CONFLICT (external_id) DO NOTHING
RETURNING external_id, id
