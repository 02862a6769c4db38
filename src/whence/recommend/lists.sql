-- name: trend
-- The strongest items of one horizon that may be shown.
SELECT external_id AS item_id, value AS score, title, description, categories, attributes, url, image_url
FROM trend_list
JOIN item_ref ON id = trend_list.item_id
LEFT JOIN catalogue_item ON catalogue_item.item_id = trend_list.item_id
WHERE horizon = :horizon
    AND coalesce(
        available AND NOT deleted AND (:categories::text[] IS NULL OR categories && :categories),
        :unknown_items AND :categories::text[] IS NULL
    )
ORDER BY rank
LIMIT :size;

-- name: similar
-- The strongest neighbours of an item that may be shown.
SELECT external_id AS item_id, probability AS score, title, description, categories, attributes, url, image_url
FROM item_neighbours
CROSS JOIN unnest(destination_ids, probabilities) WITH ORDINALITY AS neighbour (destination_id, probability, rank)
JOIN item_ref ON id = destination_id
LEFT JOIN catalogue_item ON catalogue_item.item_id = destination_id
WHERE source_id = (SELECT id FROM item_ref WHERE external_id = :item_id)
    AND coalesce(
        available AND NOT deleted AND (:categories::text[] IS NULL OR categories && :categories),
        :unknown_items AND :categories::text[] IS NULL
    )
ORDER BY rank
LIMIT :size;

-- name: item_is_known
-- Whether any event or catalogue entry ever named an item.
SELECT EXISTS (SELECT FROM item_ref WHERE external_id = :item_id);
