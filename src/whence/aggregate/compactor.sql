-- name: limits
-- A leader that freezes loses its session, and with it the lead.
SELECT set_config('idle_session_timeout', :idle, false), set_config('idle_in_transaction_session_timeout', :idle, false)

-- name: lead
-- Whether this session is the installation's only compactor; it stays so until it ends.
SELECT pg_try_advisory_lock(hashtextextended('whence compactor ' || current_schema(), 0))

-- name: fold_in_turn
-- Held by every fold, and by a rebuild alone while it compares and swaps. A statement of its own, so that what the fold
-- reads next is newer than a swap that it has waited for.
SELECT pg_advisory_xact_lock_shared(hashtextextended('whence fold ' || current_schema(), 0))

-- name: unfolded
-- The oldest segments that are not folded yet, a bounded number of each partition and of bytes of pairs, and how many
-- there are without the latter bound. Partitions take turns, so that none waits for another's backlog. A partition's
-- segments are committed in order, so what is visible has no gap.
SELECT partition, end_offset, trend, pairs, found
FROM (
    SELECT
        held.partition, segment.*, count(*) OVER () AS found,
        sum(length(pairs)) OVER (ORDER BY place, held.partition ROWS UNBOUNDED PRECEDING) - length(pairs) AS bytes_before
    FROM partition_position AS held
    LEFT JOIN compactor_position AS folded USING (partition)
    CROSS JOIN LATERAL (
        SELECT row_number() OVER (ORDER BY first_offset) AS place, first_offset, end_offset, trend, pairs
        FROM batch_segment
        WHERE batch_segment.partition = held.partition
          AND first_offset >= coalesce(folded.next_offset, held.base_offset)
        ORDER BY first_offset
        LIMIT :segments_max
    ) AS segment
) AS oldest
WHERE bytes_before < :bytes_max
ORDER BY partition, first_offset

-- name: add_buckets!
INSERT INTO trend_bucket AS held (level, start_at, item_id, count)
SELECT * FROM unnest(:levels, :starts, :items, :counts)
ON CONFLICT (level, start_at, item_id) DO UPDATE SET count = held.count + excluded.count

-- name: move_positions!
INSERT INTO compactor_position (partition, next_offset)
SELECT * FROM unnest(:partitions, :next_offsets)
ON CONFLICT (partition) DO UPDATE SET next_offset = excluded.next_offset

-- name: rank!
-- A horizon's list anew: the share of each item in the decayed sum of its level's buckets. The age of a bucket is that
-- of its middle, and not below 0. The clamp keeps exp() clear of its range's end (whence.domain.decay). All items are
-- summed up once, and only the best are put in order.
WITH decayed AS MATERIALIZED (
    SELECT item_id,
           sum(count * exp(greatest(
               -ln(2::double precision) / :half_life_seconds::double precision
               * greatest(
                   date_part('epoch', :as_of::timestamptz - start_at) - :width_seconds::double precision / 2,
                   0
               ),
               -623.832462503951::double precision
           ))) AS value
    FROM trend_bucket
    WHERE level = :level AND start_at >= :kept_from
    GROUP BY item_id
), best AS (
    SELECT item_id, value / (SELECT sum(value) FROM decayed) AS value
    FROM decayed
    ORDER BY decayed.value DESC, item_id
    LIMIT :items_max
), ranked AS (
    SELECT row_number() OVER (ORDER BY value DESC, item_id)::integer AS rank, item_id, value FROM best
), gone AS (
    DELETE FROM trend_list WHERE horizon = :horizon AND rank > (SELECT count(*) FROM decayed)
)
INSERT INTO trend_list AS held (horizon, rank, item_id, value)
SELECT :horizon, rank, item_id, value FROM ranked
ON CONFLICT (horizon, rank) DO UPDATE SET item_id = excluded.item_id, value = excluded.value
WHERE (held.item_id, held.value) IS DISTINCT FROM (excluded.item_id, excluded.value)

-- name: total
-- The events in a level's buckets.
SELECT coalesce(sum(count), 0)::bigint FROM trend_bucket WHERE level = :level AND start_at >= :kept_from

-- name: delete_segments!
-- Segments that no repeat can meet any more and that are folded, the oldest first. A segment's append hour is compared
-- with its own partition's; hours never run backwards within one.
DELETE FROM batch_segment
USING partition_position AS held
JOIN compactor_position AS folded USING (partition)
CROSS JOIN LATERAL (
    SELECT partition, first_offset, end_offset, append_hour FROM batch_segment AS segment
    WHERE segment.partition = held.partition AND segment.backfill_hashes = ''::bytea
    ORDER BY segment.first_offset
    LIMIT :rows_max
) AS oldest
WHERE batch_segment.partition = oldest.partition
  AND batch_segment.first_offset = oldest.first_offset
  AND oldest.append_hour < floor(extract(epoch FROM held.last_appended_at) / 3600) - :window_hours
  AND oldest.end_offset <= folded.next_offset

-- name: empty_segments!
-- The same for segments with backfill events: those ids are kept for good, the rest goes.
UPDATE batch_segment AS segment SET event_hashes = '', user_ids = '', trend = '', pairs = ''
FROM partition_position AS held
JOIN compactor_position AS folded USING (partition)
WHERE segment.partition = held.partition
  AND segment.append_hour < floor(extract(epoch FROM held.last_appended_at) / 3600) - :window_hours
  AND segment.end_offset <= folded.next_offset
  AND segment.backfill_hashes <> ''::bytea
  AND segment.user_ids <> ''::bytea

-- name: delete_buckets!
-- Old by our clock and by that of the log, which may stand still: a clock that jumps ahead deletes nothing.
DELETE FROM trend_bucket
WHERE (level, start_at, item_id) IN (
    SELECT level, start_at, item_id FROM trend_bucket
    WHERE level = :level
      AND start_at < least(:kept_from, (SELECT max(last_appended_at) FROM partition_position) - :kept::interval)
    ORDER BY level, start_at
    LIMIT :rows_max
)

-- name: delete_pairs!
-- The same for pairs.
DELETE FROM pair_count
WHERE (source_id, epoch) IN (
    SELECT source_id, epoch
    FROM pair_count
    WHERE epoch < least(
        :first_epoch,
        (SELECT floor(extract(epoch FROM max(last_appended_at)) / :epoch_seconds) FROM partition_position)
            - :epochs_kept + 1
    )
    ORDER BY epoch
    LIMIT :rows_max
)

-- name: books
-- Offsets that the counts do not explain; offsets that are not folded yet; dead letters that wait for somebody.
SELECT coalesce(sum(held.next_offset - base_offset - applied - duplicate - dead - absent), 0)::bigint,
       coalesce(sum(held.next_offset - coalesce(folded.next_offset, held.base_offset)), 0)::bigint,
       (SELECT count(*) FROM (SELECT FROM dead_letter WHERE state = 'pending' LIMIT :letters_max) AS pending)
FROM partition_position AS held
LEFT JOIN compactor_position AS folded USING (partition)
