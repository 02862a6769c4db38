-- name: known_ids
-- Those of the ids that are mapped already.
SELECT external_id FROM item_ref WHERE external_id = ANY (:ids);

-- name: map_ids
-- Map ids that are not mapped yet; in order, so that two writers never wait for each other in a circle.
INSERT INTO item_ref (external_id)
SELECT id FROM unnest(:ids::text[]) AS given (id) ORDER BY id
ON CONFLICT DO NOTHING;

-- name: put_items
-- Put entries into the catalogue, in place of what was there, tombstones too. Answers the ids that were not there.
WITH given AS (
    SELECT id, entry.*
    FROM jsonb_to_recordset(:items::jsonb) AS entry (
        external_id text, title text, description text, categories text[], attributes jsonb, available boolean,
        url text, image_url text
    )
    JOIN item_ref USING (external_id)
),
there AS (SELECT item_id FROM catalogue_item JOIN given ON item_id = id WHERE NOT deleted),
put AS (
    INSERT INTO catalogue_item (
        item_id, title, description, categories, attributes, available, url, image_url, deleted, updated_at
    )
    SELECT id, title, description, categories, attributes, available, url, image_url, false, now()
    FROM given
    ORDER BY id
    ON CONFLICT (item_id) DO UPDATE SET
        title = excluded.title,
        description = excluded.description,
        categories = excluded.categories,
        attributes = excluded.attributes,
        available = excluded.available,
        url = excluded.url,
        image_url = excluded.image_url,
        deleted = false,
        updated_at = excluded.updated_at
)
SELECT external_id FROM given WHERE id NOT IN (SELECT item_id FROM there);

-- name: get_item
-- An entry of the catalogue; tombstones do not count.
SELECT title, description, categories, attributes, available, url, image_url, updated_at
FROM catalogue_item
JOIN item_ref ON id = item_id
WHERE external_id = :id AND NOT deleted;

-- name: delete_item
-- Leave a tombstone: the item is never recommended again until it is put back. Nothing else of it is kept.
INSERT INTO catalogue_item (item_id, title, available, deleted)
SELECT id, '', false, true FROM item_ref WHERE external_id = :id
ON CONFLICT (item_id) DO UPDATE SET
    title = '',
    description = NULL,
    categories = '{}',
    attributes = '{}',
    available = false,
    url = NULL,
    image_url = NULL,
    deleted = true,
    updated_at = now();
