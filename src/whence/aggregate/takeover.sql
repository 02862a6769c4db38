-- name: hold_position
-- The partition's row, unless a transaction of the owner before us still holds it.
SELECT FROM partition_position WHERE partition = :partition FOR UPDATE NOWAIT

-- name: take_over
-- Bump the partition's epoch, which fences whoever had it before, and say where it stands. A partition seen for the
-- first time starts at the log's low watermark.
INSERT INTO partition_position AS held (partition, log_id, base_offset, next_offset, epoch)
VALUES (:partition, :log_id, :low, :low, 1)
ON CONFLICT (partition) DO UPDATE SET epoch = held.epoch + 1
RETURNING epoch, next_offset, log_id, last_appended_at

-- name: window
-- The segments whose ids can still be repeated.
SELECT append_hour, event_hashes, backfill_hashes FROM batch_segment
WHERE partition = :partition AND append_hour >= :first_hour

-- name: backfill_hashes
-- Every backfill event that the partition ever applied.
SELECT backfill_hashes FROM batch_segment WHERE partition = :partition AND backfill_hashes <> ''::bytea
