-- name: snapshot!
-- Everything that follows sees one moment, while traffic goes on.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: signals_of
SELECT person.external_id, item.external_id, event_type, count, log_sum, last_at
FROM user_ref AS person
JOIN signal ON user_id = person.id
JOIN item_ref AS item ON item.id = item_id
WHERE person.external_id = ANY (:users::text[])

-- name: recents_of
SELECT person.external_id, item.external_id, last_at, "offset"
FROM user_ref AS person
JOIN user_recent_item ON user_id = person.id
JOIN item_ref AS item ON item.id = item_id
WHERE person.external_id = ANY (:users::text[])
ORDER BY person.external_id, rank

-- name: totals
-- How many rows there are to account for.
SELECT (SELECT count(*) FROM signal), (SELECT count(*) FROM user_recent)

-- name: known_users
-- Everybody of whom something is held, in blocks of internal ids.
SELECT id, external_id FROM user_ref
WHERE id > :after
  AND (EXISTS (SELECT FROM signal WHERE user_id = id) OR EXISTS (SELECT FROM user_recent WHERE user_id = id))
ORDER BY id
LIMIT :rows_max

-- name: sample_users
SELECT external_id FROM user_ref ORDER BY random() LIMIT :users_max
