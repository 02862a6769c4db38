-- name: recents
-- The newest items of these users.
SELECT item_id, last_at, "offset"
FROM user_ref
JOIN user_recent ON user_id = id
CROSS JOIN recent_items(packed, :size)
WHERE external_id = ANY (:subjects);

-- name: signals
-- The users' signals on these items.
SELECT item_id, name AS event_type, count, log_sum, last_at
FROM signal
JOIN event_type ON code = event_type
WHERE user_id = ANY (ARRAY(SELECT id FROM user_ref WHERE external_id = ANY (:subjects))) AND item_id = ANY (:item_ids);

-- name: neighbours
-- The neighbour lists of these items.
SELECT source_id, destination_ids, probabilities, bought FROM item_neighbours WHERE source_id = ANY (:item_ids);

-- name: refined
-- The refined neighbour weights of these items.
SELECT source_id, destination_ids, weights, mass FROM item_refined WHERE source_id = ANY (:item_ids);

-- name: refined_fitted
-- Whether refined weights were ever fitted.
SELECT EXISTS (SELECT FROM item_refined);

-- name: trends
-- All trend lists.
SELECT horizon, item_id, value FROM trend_list;

-- name: item
-- An item: its internal id, and whether the catalogue has it, offers it, or had it withdrawn.
SELECT id, title, available, deleted, title IS NOT NULL AS in_catalogue
FROM item_ref
LEFT JOIN catalogue_item ON item_id = id
WHERE external_id = :item_id;

-- name: names
-- The public names of items.
SELECT id, external_id, CASE WHEN NOT deleted THEN title END AS title
FROM item_ref
LEFT JOIN catalogue_item ON item_id = id
WHERE id = ANY (:item_ids);
