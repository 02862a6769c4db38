-- name: shop!
-- Items that all have a catalogue entry and two full lists, skewed as interest is; trends of 500 items each.
WITH item AS (
    INSERT INTO item_ref (external_id) SELECT 'item-' || n FROM generate_series(1, :items::integer) AS n RETURNING id
), entry AS (
    INSERT INTO catalogue_item (item_id, title, categories)
    SELECT id, 'Item ' || id, ARRAY['category-' || mod(id, 20)] FROM item
), neighbours AS (
    INSERT INTO item_neighbours (source_id, destination_ids, probabilities, bought)
    SELECT
        id,
        ARRAY(SELECT 1 + floor(:items * random() ^ 2)::bigint FROM generate_series(1 + 0 * id, :neighbours)),
        ARRAY(SELECT 0.1 / place FROM generate_series(1, :neighbours) AS place),
        ARRAY(SELECT mod(place, 7) = 0 FROM generate_series(1, :neighbours) AS place)
    FROM item
), refined AS (
    INSERT INTO item_refined (source_id, destination_ids, weights, mass)
    SELECT
        id,
        ARRAY(SELECT 1 + floor(:items * random() ^ 2)::bigint FROM generate_series(1 + 0 * id, :neighbours)),
        ARRAY(SELECT 0.05 / place - 0.0005 FROM generate_series(1, :neighbours) AS place),
        0.15
    FROM item
)
INSERT INTO trend_list (horizon, rank, item_id, value)
SELECT horizon, rank, 1 + mod(rank * step, :items), 0.05 / rank
FROM (VALUES ('6h', 7), ('1d', 11), ('7d', 13)) AS trend (horizon, step) CROSS JOIN generate_series(1, 500) AS rank

-- name: users!
INSERT INTO user_ref (external_id) SELECT 'user-' || n FROM generate_series(1, :users::integer) AS n

-- name: signals!
-- The first few users touched 200 items each, all others the same number each. Item numbers step, so that a user's differ.
INSERT INTO signal (user_id, item_id, event_type, count, log_sum, last_at)
SELECT u, 1 + mod(u * 7919 + place * 104729, :items), 1 + mod(place, 3), 1 + mod(place, 5),
       :log_sum::float8 + place * 0.01, :now::timestamptz - place * interval '3 hours'
FROM generate_series(:first_user::bigint, :last_user) AS u CROSS JOIN generate_series(1, :each) AS place

-- name: recents!
-- The readers' newest 64 items, packed as user_recent has it: item, microseconds, offset, whether bought.
INSERT INTO user_recent (user_id, packed)
SELECT user_id, string_agg(
    int8send(item_id) || int8send((extract(epoch FROM last_at) * 1000000)::bigint) || int8send(1000 - place)
        || '\x00'::bytea,
    ''::bytea ORDER BY place
)
FROM (
    SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY last_at DESC, item_id) AS place
    FROM signal WHERE user_id <= :readers
) AS newest
WHERE place <= 64
GROUP BY user_id
