-- name: candidates
-- The best candidates of a user (and a session united with it) at a moment, each with its strongest evidence, and the
-- version of the answer: one row for each candidate, or one row without a candidate. The score is that of
-- whence.domain.blend, which explains it; its constants come as parameters.
WITH subject AS MATERIALIZED (
    SELECT coalesce(array_agg(id), '{}') AS ids FROM user_ref WHERE external_id = ANY (:subjects)
),
weight AS MATERIALIZED (
    SELECT code, name, coalesce(given.weight, 0) AS weight
    FROM event_type
    LEFT JOIN unnest(:type_names::text[], :type_weights::float8[]) AS given (type_name, weight) ON type_name = name
),
-- The newest items, each once, as whence.domain.blend.unite.
recent AS MATERIALIZED (
    SELECT item_id, last_at, row_number() OVER newest_first - 1 AS rank
    FROM (
        SELECT DISTINCT ON (item_id) item_id, last_at, "offset"
        FROM subject
        JOIN user_recent ON user_id = ANY (ids)
        CROSS JOIN recent_items(packed, :recent_items_read)
        ORDER BY item_id, last_at DESC, "offset" DESC
    ) AS once
    WINDOW newest_first AS (ORDER BY last_at DESC, "offset" DESC, item_id)
    ORDER BY rank
    LIMIT :recent_items_read
),
-- The user's signals on these items at the moment. A signal newer than the moment is read at its own time.
held AS MATERIALIZED (
    SELECT recent.item_id, code, name, sum(count)::bigint AS count, max(signal.last_at) AS last_at, weight * sum(
        exp(greatest(
            log_sum - :rate_per_second::float8
                * (extract(epoch FROM greatest(:as_of::timestamptz, signal.last_at))::float8 - :landmark_seconds),
            :min_exponent
        ))
    ) AS strength
    FROM subject
    CROSS JOIN recent
    JOIN signal ON user_id = ANY (ids) AND signal.item_id = recent.item_id
    JOIN weight ON code = event_type
    GROUP BY recent.item_id, code, name, weight
),
source AS MATERIALIZED (
    SELECT
        item_id,
        strongest.code AS leading_code,
        newest.code AS newest_code,
        power(:rank_factor::float8, rank::float8) * exp(greatest(
            -ln(2::float8) * greatest(extract(epoch FROM :as_of::timestamptz - recent.last_at)::float8, 0)
                / :short_half_life_seconds,
            :min_exponent
        )) AS short,
        CASE WHEN strengths >= :affinity_min THEN strengths ELSE 0 END AS affinity,
        coalesce(destination_ids <> '{}', false) AS has_neighbours
    FROM recent
    LEFT JOIN item_neighbours ON source_id = item_id
    LEFT JOIN (SELECT item_id, sum(strength) AS strengths FROM held GROUP BY item_id) AS summed USING (item_id)
    LEFT JOIN (
        SELECT DISTINCT ON (item_id) item_id, code FROM held WHERE name <> 'dismiss'
        ORDER BY item_id, strength DESC, last_at DESC, name
    ) AS strongest USING (item_id)
    LEFT JOIN (
        SELECT DISTINCT ON (item_id) item_id, code FROM held WHERE name <> 'dismiss'
        ORDER BY item_id, last_at DESC, name
    ) AS newest USING (item_id)
),
mixer AS MATERIALIZED (
    SELECT
        :short_weight / (coalesce(sum(short), 0) + :short_damping) AS own_short,
        coalesce(:long_weight_alone / nullif(sum(affinity), 0), 0) AS own_long,
        :short_weight / (coalesce(sum(short) FILTER (WHERE has_neighbours), 0) + :short_damping) AS neighbour_short,
        coalesce(
            CASE WHEN EXISTS (SELECT FROM item_refined) THEN :long_weight ELSE :long_weight_alone END
                / nullif(sum(affinity) FILTER (WHERE has_neighbours), 0),
            0
        ) AS neighbour_long,
        :refined_weight / greatest(coalesce(sum(mass), 0) + :mass_damping, :mass_min) AS refined
    FROM source
    LEFT JOIN item_refined ON source_id = item_id
),
-- The summands of all scores. kind: 1 own signal, 2 co-viewed, 3 refined, 4 to 6 trend over 6 hours, a day, a week;
-- code: the event type of the signal that it is named after.
part AS MATERIALIZED (
    SELECT item_id, item_id AS source_id, 1::smallint AS kind, held.code, :self_weight * (
        CASE WHEN affinity > 0 THEN own_long * strength ELSE 0 END
        + CASE WHEN held.code = newest_code THEN own_short * short ELSE 0 END
    ) AS contribution
    FROM mixer
    CROSS JOIN source
    JOIN held USING (item_id)
    WHERE :exclude <> 'seen'
    UNION ALL
    SELECT destination_id, source_id, 2::smallint, leading_code, coefficient * probability
    FROM (
        SELECT
            unnest(destination_ids) AS destination_id, unnest(probabilities) AS probability,
            source_id, leading_code, neighbour_short * short + neighbour_long * affinity AS coefficient
        FROM mixer
        CROSS JOIN source
        JOIN item_neighbours ON source_id = item_id
    ) AS neighbour
    UNION ALL
    SELECT destination_id, source_id, 3::smallint, leading_code, refined * weight
    FROM (
        SELECT unnest(destination_ids) AS destination_id, unnest(weights) AS weight, source_id, leading_code, refined
        FROM mixer
        CROSS JOIN source
        JOIN item_refined ON source_id = item_id
    ) AS neighbour
    UNION ALL
    SELECT item_id, NULL, kind, NULL, trend_weight * value
    FROM unnest(ARRAY[4, 5, 6]::smallint[], :horizons::text[], :trend_weights::float8[]) AS trend (kind, name, trend_weight)
    JOIN trend_list ON horizon = name
),
scored AS MATERIALIZED (
    SELECT item_id, sum(contribution) AS score, bool_or(kind <= 3) AS personal
    FROM part
    WHERE contribution <> 0
    GROUP BY item_id
    ORDER BY score DESC, item_id
),
-- What may fill the list, best first: scored items, else available items of the catalogue, else items known from
-- events alone. An Append gives its parts in this order, and later parts are run only while rows are missing.
-- kind: 0 scored, 7 from the catalogue, 8 known from events.
considered AS NOT MATERIALIZED (
    SELECT item_id, score, personal, 0 AS kind FROM scored
    UNION ALL
    (
        SELECT item_id, 0, false, 7
        FROM catalogue_item
        WHERE :categories::text[] IS NULL AND available AND NOT deleted AND item_id NOT IN (SELECT item_id FROM scored)
        ORDER BY item_id
        LIMIT :fill_scan_max
    )
    UNION ALL
    (
        SELECT item_id, 0, false, 7
        FROM catalogue_item
        WHERE categories && :categories AND available AND NOT deleted AND item_id NOT IN (SELECT item_id FROM scored)
        ORDER BY item_id
        LIMIT :fill_scan_max
    )
    UNION ALL
    SELECT id, 0, false, 8
    FROM (SELECT id FROM item_ref WHERE :unknown_items ORDER BY id DESC LIMIT :fill_scan_max) AS newest
    WHERE id NOT IN (SELECT item_id FROM scored) AND NOT EXISTS (SELECT FROM catalogue_item WHERE item_id = id)
),
-- The conditions are asked item by item until there are enough.
shown AS MATERIALIZED (
    SELECT item_id, score, personal, kind
    FROM considered
    WHERE item_id <> ALL (ARRAY(SELECT id FROM item_ref WHERE external_id = ANY (:excluded_items::text[])))
        AND coalesce(
            (
                SELECT available AND NOT deleted AND (:categories::text[] IS NULL OR categories && :categories)
                FROM catalogue_item
                WHERE catalogue_item.item_id = considered.item_id
            ),
            :unknown_items AND :categories::text[] IS NULL
        )
        AND NOT (
            SELECT
                coalesce(max(last_at) FILTER (WHERE name = 'dismiss') >= coalesce(
                    max(last_at) FILTER (WHERE name <> 'dismiss' AND weight > 0), '-infinity'
                ), false)
                OR :exclude = 'seen' AND count(*) > 0
                OR :exclude = 'purchased' AND coalesce(bool_or(name = 'purchase'), false)
            FROM subject
            JOIN signal ON user_id = ANY (ids) AND signal.item_id = considered.item_id
            JOIN weight ON code = event_type
        )
    LIMIT :size
),
-- Arrays of (kind, item, title, event type, count, last time in microseconds, contribution), the strongest first.
evidence AS (
    SELECT
        placed.item_id,
        jsonb_agg(
            jsonb_build_array(
                kind,
                (SELECT external_id FROM item_ref WHERE id = source_id),
                (SELECT title FROM catalogue_item WHERE item_id = source_id AND NOT deleted),
                name, count, (extract(epoch FROM last_at) * 1000000)::bigint, contribution
            )
            ORDER BY place
        ) AS parts
    FROM (
        SELECT part.*, row_number() OVER strongest_first AS place
        FROM part
        WHERE item_id = ANY (ARRAY(SELECT item_id FROM shown)) AND contribution <> 0
        WINDOW strongest_first AS (PARTITION BY item_id ORDER BY abs(contribution) DESC, kind, source_id, code)
    ) AS placed
    LEFT JOIN held ON held.item_id = source_id AND held.code = placed.code
    WHERE place <= :evidence_max
    GROUP BY placed.item_id
),
version AS (
    SELECT
        (SELECT log_id FROM aggregated_log) AS log_id,
        (SELECT partitions FROM aggregated_log) AS partitions,
        jsonb_object_agg(partition, next_offset) FILTER (WHERE partition IS NOT NULL) AS positions,
        max(last_event_at) AS last_event_at
    FROM partition_position
    WHERE partition = ANY (:partitions) AND partition_position.log_id = (SELECT log_id FROM aggregated_log)
)
SELECT
    version.*, external_id AS item_id, score, personal, shown.kind, parts,
    title, description, categories, attributes, url, image_url
FROM version
LEFT JOIN (shown JOIN item_ref ON id = shown.item_id) ON true
LEFT JOIN evidence ON evidence.item_id = shown.item_id
LEFT JOIN catalogue_item ON catalogue_item.item_id = shown.item_id
ORDER BY score DESC, shown.item_id;
