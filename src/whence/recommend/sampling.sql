-- name: newest_user
-- The greatest internal user id; 0 without users.
SELECT coalesce(max(id), 0) FROM user_ref;

-- name: users
-- Which of these ids are of users who have touched an item: only their lists depend on weights.
SELECT id, external_id FROM user_ref JOIN user_recent ON user_id = id WHERE id = ANY (:ids);
