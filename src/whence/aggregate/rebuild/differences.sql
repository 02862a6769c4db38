-- name: partition_position
-- The books.
SELECT to_jsonb(serving) - 'epoch' AS serving, to_jsonb(rebuilt) - 'epoch' AS rebuilt
FROM {serving}.partition_position AS serving
FULL JOIN {shadow}.partition_position AS rebuilt USING (partition)
WHERE to_jsonb(serving) - 'epoch' IS DISTINCT FROM to_jsonb(rebuilt) - 'epoch'

-- name: signal
SELECT to_jsonb(serving) AS serving, to_jsonb(rebuilt) AS rebuilt
FROM {serving}.signal AS serving
FULL JOIN {shadow}.signal AS rebuilt USING (user_id, item_id, event_type)
WHERE (serving.count, serving.last_at) IS DISTINCT FROM (rebuilt.count, rebuilt.last_at)
   OR abs(serving.log_sum - rebuilt.log_sum) > :tolerance * greatest(1, abs(rebuilt.log_sum))

-- name: user_recent
SELECT to_jsonb(serving) AS serving, to_jsonb(rebuilt) AS rebuilt
FROM {serving}.user_recent AS serving
FULL JOIN {shadow}.user_recent AS rebuilt USING (user_id)
WHERE serving.packed IS DISTINCT FROM rebuilt.packed

-- name: batch_segment
-- The dedupe window. Batches may be cut elsewhere, so the ids of an append hour are compared: how many, of live events
-- and of backfills.
WITH window_from AS (
    SELECT partition, floor(extract(epoch FROM last_appended_at) / 3600) - :window_hours AS first_hour
    FROM {shadow}.partition_position
), serving AS (
    SELECT partition, append_hour, sum(length(event_hashes)) / 8 AS live, sum(length(backfill_hashes)) / 8 AS backfill
    FROM {serving}.batch_segment JOIN window_from USING (partition)
    WHERE append_hour >= first_hour
    GROUP BY partition, append_hour
), rebuilt AS (
    SELECT partition, append_hour, sum(length(event_hashes)) / 8 AS live, sum(length(backfill_hashes)) / 8 AS backfill
    FROM {shadow}.batch_segment JOIN window_from USING (partition)
    WHERE append_hour >= first_hour
    GROUP BY partition, append_hour
)
SELECT to_jsonb(serving) AS serving, to_jsonb(rebuilt) AS rebuilt
FROM serving
FULL JOIN rebuilt USING (partition, append_hour)
WHERE (serving.live, serving.backfill) IS DISTINCT FROM (rebuilt.live, rebuilt.backfill)

-- name: trend_bucket
WITH kept AS (
    SELECT * FROM unnest(:levels::smallint[], :kept_from::timestamptz[]) AS kept (level, kept_from)
), serving AS (
    SELECT trend_bucket.* FROM {serving}.trend_bucket JOIN kept USING (level) WHERE start_at >= kept_from
), rebuilt AS (
    SELECT trend_bucket.* FROM {shadow}.trend_bucket JOIN kept USING (level) WHERE start_at >= kept_from
)
SELECT to_jsonb(serving) AS serving, to_jsonb(rebuilt) AS rebuilt
FROM serving
FULL JOIN rebuilt USING (level, start_at, item_id)
WHERE serving.count IS DISTINCT FROM rebuilt.count

-- name: pair_count
WITH serving AS (
    SELECT * FROM {serving}.pair_count WHERE epoch >= :first_epoch
), rebuilt AS (
    SELECT * FROM {shadow}.pair_count WHERE epoch >= :first_epoch
)
SELECT to_jsonb(serving) AS serving, to_jsonb(rebuilt) AS rebuilt
FROM serving
FULL JOIN rebuilt USING (source_id, epoch)
WHERE (serving.destination_ids, serving.units, serving.bought_units)
    IS DISTINCT FROM (rebuilt.destination_ids, rebuilt.units, rebuilt.bought_units)
