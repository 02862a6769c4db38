-- name: limits
SELECT set_config('idle_in_transaction_session_timeout', :idle_in_transaction, false)

-- name: swap_position!
-- Step (a), first: take the partition's row only if it is as we left it. A twin that was away, or whose commit's answer
-- was lost, fails here before it writes anything.
UPDATE partition_position
SET next_offset = :end_offset,
    applied = applied + :applied,
    duplicate = duplicate + :duplicate,
    dead = dead + :dead,
    absent = absent + :absent,
    last_appended_at = :last_appended_at,
    last_event_at = greatest(last_event_at, :last_event_at::timestamptz)
WHERE partition = :partition AND log_id = :log_id AND next_offset = :first_offset AND epoch = :epoch

-- name: add_signals!
-- Step (b): counts add; log-domain sums add as ln(e^a + e^b) with the exponent clamped at 2^-900, where PostgreSQL's
-- exp() would raise an underflow; times keep the newest. Rows come sorted by key.
INSERT INTO signal AS held (user_id, item_id, event_type, count, log_sum, last_at)
SELECT * FROM unnest(:users, :items, :types, :counts, :log_sums, :last_at)
ON CONFLICT (user_id, item_id, event_type) DO UPDATE
SET count = held.count + excluded.count,
    log_sum = greatest(held.log_sum, excluded.log_sum)
        + ln(1 + exp(greatest(-abs(held.log_sum - excluded.log_sum), -623.832462503951::double precision))),
    last_at = greatest(held.last_at, excluded.last_at)

-- name: recents_of
SELECT user_id, packed FROM user_recent WHERE user_id = ANY (:users)

-- name: touched_before
-- Places (from 1) of the pairs of user and item that were touched before by anything but a dismissal.
SELECT asked.place
FROM unnest(:users, :items) WITH ORDINALITY AS asked (user_id, item_id, place)
WHERE EXISTS (
    SELECT FROM signal
    JOIN event_type ON code = event_type
    WHERE signal.user_id = asked.user_id AND signal.item_id = asked.item_id AND name <> :dismiss
)

-- name: put_recents!
-- The packed newest items of each touched user, whole. Rows come sorted by key.
INSERT INTO user_recent AS held (user_id, packed)
SELECT * FROM unnest(:users, :packed)
ON CONFLICT (user_id) DO UPDATE SET packed = excluded.packed

-- name: add_segment!
-- Step (c): what is kept of the batch.
INSERT INTO batch_segment
    (partition, first_offset, end_offset, append_hour, event_hashes, backfill_hashes, user_ids, trend, pairs)
VALUES
    (:partition, :first_offset, :end_offset, :append_hour, :event_hashes, :backfill_hashes, :user_ids, :trend, :pairs)

-- name: add_dead_letters!
-- Step (d).
INSERT INTO dead_letter (partition, "offset", log_id, reason, detail, key, value, appended_at)
SELECT :partition, letter."offset", :log_id, letter.reason, letter.detail, letter.key, letter.value, letter.appended_at
FROM unnest(:offsets, :reasons::text[], :details::text[], :keys, :values, :appended_at)
    AS letter ("offset", reason, detail, key, value, appended_at)
