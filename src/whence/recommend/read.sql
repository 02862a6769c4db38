-- name: candidates
-- The best candidates of a user (and a session united with it) at a moment, each with its strongest evidence, and the
-- version of the answer: one row for each candidate, or one row without a candidate. The score is that of
-- whence.domain.blend, which explains it; its constants come as parameters.
WITH subject AS MATERIALIZED (
    SELECT coalesce(array_agg(id), '{}') AS ids FROM user_ref WHERE external_id = ANY (:subjects)
),
-- The recipe in force: looked up here, so that no list that is begun after a publication has an older one.
published AS MATERIALIZED (
    SELECT version, weights FROM recipe WHERE :published ORDER BY version DESC LIMIT 1
),
weight AS MATERIALIZED (
    SELECT code, name, CASE WHEN abs(weight) >= :weight_min THEN weight ELSE 0 END AS weight
    FROM (
        SELECT code, name, coalesce(((SELECT weights FROM published) ->> name)::float8, given.weight, 0) AS weight
        FROM event_type
        LEFT JOIN unnest(:type_names::text[], :type_weights::float8[]) AS given (type_name, weight) ON type_name = name
    ) AS declared
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
                * (date_part('epoch', greatest(:as_of::timestamptz, signal.last_at)) - :landmark_seconds),
            :min_exponent
        ))
    ) AS strength
    FROM subject
    CROSS JOIN recent
    -- OFFSET keeps this a probe for each item: a bot's signals are too many to go through.
    CROSS JOIN LATERAL (
        SELECT * FROM signal WHERE user_id = ANY (ids) AND signal.item_id = recent.item_id OFFSET 0
    ) AS signal
    JOIN weight ON code = event_type
    GROUP BY recent.item_id, code, name, weight
),
-- The newest items with what they can contribute, and all their lists: each is looked up once.
source AS MATERIALIZED (
    SELECT
        item_id,
        leading_code,
        newest_code,
        power(:rank_factor::float8, rank::float8) * exp(greatest(
            -ln(2::float8) * greatest(date_part('epoch', :as_of::timestamptz - last_at), 0)
                / :short_half_life_seconds,
            :min_exponent
        )) AS short,
        CASE WHEN strengths >= :affinity_min THEN strengths ELSE 0 END AS affinity,
        neighbours.destination_ids AS neighbour_ids, probabilities, bought,
        item_refined.destination_ids AS refined_ids, weights, mass
    FROM recent
    LEFT JOIN item_neighbours AS neighbours ON neighbours.source_id = item_id AND neighbours.destination_ids <> '{}'
    LEFT JOIN item_refined ON item_refined.source_id = item_id
    LEFT JOIN (
        SELECT
            item_id, sum(strength) AS strengths,
            (array_agg(code ORDER BY strength DESC, last_at DESC, name) FILTER (WHERE name <> 'dismiss'))[1]
                AS leading_code,
            (array_agg(code ORDER BY last_at DESC, name) FILTER (WHERE name <> 'dismiss'))[1] AS newest_code
        FROM held GROUP BY item_id
    ) AS summed USING (item_id)
),
mixer AS MATERIALIZED (
    SELECT
        :short_weight / (coalesce(sum(short), 0) + :short_damping) AS own_short,
        coalesce(:long_weight_alone / nullif(sum(affinity), 0), 0) AS own_long,
        :short_weight / (coalesce(sum(short) FILTER (WHERE neighbour_ids IS NOT NULL), 0) + :short_damping)
            AS neighbour_short,
        coalesce(
            CASE WHEN EXISTS (SELECT FROM item_refined) THEN :long_weight ELSE :long_weight_alone END
                / nullif(sum(affinity) FILTER (WHERE neighbour_ids IS NOT NULL), 0),
            0
        ) AS neighbour_long,
        :refined_weight / greatest(coalesce(sum(mass), 0) + :mass_damping, :mass_min) AS refined
    FROM source
),
-- The summands of all scores that come from the user's own signals, and from the trends.
-- kind: 1 own signal, 5 to 7 trend over 6 hours, a day, a week; code: the event type of the signal.
own AS MATERIALIZED (
    SELECT item_id, 1::smallint AS kind, held.code, :self_weight * (
        CASE WHEN affinity > 0 THEN own_long * strength ELSE 0 END
        + CASE WHEN held.code = newest_code THEN own_short * short ELSE 0 END
    ) AS contribution
    FROM mixer
    CROSS JOIN source
    JOIN held USING (item_id)
    WHERE :exclude <> 'seen'
),
trend AS NOT MATERIALIZED (
    SELECT item_id, kind, trend_weight * value AS contribution
    FROM unnest(ARRAY[5, 6, 7]::smallint[], :horizons::text[], :trend_weights::float8[]) AS trend (kind, name, trend_weight)
    JOIN trend_list ON horizon = name
),
-- The sums alone: thousands of items, of which few will be shown.
total AS NOT MATERIALIZED (
    SELECT item_id, sum(contribution) AS score
    FROM (
        SELECT item_id, contribution FROM own
        UNION ALL
        SELECT destination_id, coefficient * probability
        FROM (
            SELECT
                unnest(neighbour_ids) AS destination_id, unnest(probabilities) AS probability,
                neighbour_short * short + neighbour_long * affinity AS coefficient
            FROM mixer CROSS JOIN source
        ) AS neighbour
        UNION ALL
        SELECT destination_id, refined * weight
        FROM (
            SELECT unnest(refined_ids) AS destination_id, unnest(weights) AS weight, refined FROM mixer CROSS JOIN source
        ) AS neighbour
        UNION ALL
        SELECT item_id, contribution FROM trend
    ) AS part
    WHERE contribution <> 0
    GROUP BY item_id
),
best AS MATERIALIZED (
    SELECT item_id, score FROM total ORDER BY score DESC, item_id LIMIT :best_max
),
-- All of them, run only if the best do not fill the list.
scored AS MATERIALIZED (SELECT item_id, score FROM total),
-- What may fill the list, best first: scored items, else available items of the catalogue, else items known from
-- events alone. An Append gives its parts in this order, and later parts are run only while rows are missing.
-- kind: 0 scored, 8 from the catalogue, 9 known from events.
considered AS NOT MATERIALIZED (
    SELECT item_id, score, 0 AS kind FROM best
    UNION ALL
    (SELECT item_id, score, 0 FROM scored ORDER BY score DESC, item_id OFFSET :best_max)
    UNION ALL
    (
        SELECT item_id, 0, 8
        FROM catalogue_item
        WHERE :categories::text[] IS NULL AND available AND NOT deleted AND item_id NOT IN (SELECT item_id FROM scored)
        ORDER BY item_id
        LIMIT :fill_scan_max
    )
    UNION ALL
    (
        SELECT item_id, 0, 8
        FROM catalogue_item
        WHERE categories && :categories AND available AND NOT deleted AND item_id NOT IN (SELECT item_id FROM scored)
        ORDER BY item_id
        LIMIT :fill_scan_max
    )
    UNION ALL
    SELECT id, 0, 9
    FROM (SELECT id FROM item_ref WHERE :unknown_items ORDER BY id DESC LIMIT :fill_scan_max) AS newest
    WHERE id NOT IN (SELECT item_id FROM scored) AND NOT EXISTS (SELECT FROM catalogue_item WHERE item_id = id)
),
-- The conditions are asked item by item until there are enough.
shown AS MATERIALIZED (
    SELECT item_id, score, kind
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
-- The summands of the shown items. kind: as above, and 2 co-viewed, 3 co-bought, 4 refined.
part AS (
    SELECT item_id, item_id AS source_id, own.kind, code, contribution, NULL::float8 AS probability
    FROM own
    JOIN shown USING (item_id)
    UNION ALL
    SELECT
        destination_id, neighbour.item_id, CASE WHEN bought[place] THEN 3 ELSE 2 END, leading_code,
        (neighbour_short * short + neighbour_long * affinity) * probabilities[place], probabilities[place]
    FROM (
        SELECT unnest(neighbour_ids) AS destination_id, generate_subscripts(neighbour_ids, 1) AS place, source.*
        FROM source
    ) AS neighbour
    JOIN shown ON shown.item_id = destination_id
    CROSS JOIN mixer
    UNION ALL
    SELECT destination_id, neighbour.item_id, 4, leading_code, refined * weights[place], NULL
    FROM (
        SELECT unnest(refined_ids) AS destination_id, generate_subscripts(refined_ids, 1) AS place, source.*
        FROM source
    ) AS neighbour
    JOIN shown ON shown.item_id = destination_id
    CROSS JOIN mixer
    UNION ALL
    SELECT item_id, NULL, trend.kind, NULL, contribution, NULL
    FROM trend
    JOIN shown USING (item_id)
),
-- Arrays of (kind, item, title, event type, count, last time in microseconds, contribution, probability), the
-- strongest first.
evidence AS (
    SELECT
        placed.item_id,
        bool_or(personal) AS personal,
        json_agg(
            json_build_array(
                kind,
                (SELECT external_id FROM item_ref WHERE id = source_id),
                (SELECT title FROM catalogue_item WHERE item_id = source_id AND NOT deleted),
                name, count, (extract(epoch FROM last_at) * 1000000)::bigint, contribution, probability
            )
            ORDER BY place
        ) FILTER (WHERE place <= :evidence_max) AS parts
    FROM (
        SELECT
            part.*,
            row_number() OVER strongest_first AS place,
            bool_or(kind <= 4) OVER (PARTITION BY item_id) AS personal
        FROM part
        WHERE contribution <> 0
        WINDOW strongest_first AS (PARTITION BY item_id ORDER BY abs(contribution) DESC, kind, source_id, code)
    ) AS placed
    LEFT JOIN held ON held.item_id = source_id AND held.code = placed.code
    WHERE place <= greatest(:evidence_max, 1)
    GROUP BY placed.item_id
),
version AS (
    SELECT
        (SELECT log_id FROM aggregated_log) AS log_id,
        (SELECT partitions FROM aggregated_log) AS partitions,
        coalesce((SELECT version FROM published), 0) AS recipe_version,
        jsonb_object_agg(partition, next_offset) FILTER (WHERE partition IS NOT NULL) AS positions,
        max(last_event_at) AS last_event_at
    FROM partition_position
    WHERE partition = ANY (:partitions) AND partition_position.log_id = (SELECT log_id FROM aggregated_log)
)
SELECT
    version.*, external_id AS item_id, score, coalesce(personal, false) AS personal, shown.kind, parts,
    title, description, categories, attributes, url, image_url
FROM version
LEFT JOIN (shown JOIN item_ref ON id = shown.item_id) ON true
LEFT JOIN evidence ON evidence.item_id = shown.item_id
LEFT JOIN catalogue_item ON catalogue_item.item_id = shown.item_id
ORDER BY score DESC, shown.item_id;
