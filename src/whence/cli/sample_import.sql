-- name: applied_backfill
-- The hashes of all backfill events that have been applied: 8 bytes each, signed little-endian.
SELECT backfill_hashes
FROM batch_segment
WHERE backfill_hashes <> ''::bytea;

-- name: behind
-- How many records the scores (applied) and the lists that all users share (folded) lack up to the given offsets.
SELECT coalesce(sum(greatest(wanted.next_offset - coalesce(position.next_offset, 0), 0)), 0)::bigint AS not_applied,
       coalesce(sum(greatest(wanted.next_offset - coalesce(fold.next_offset, 0), 0)), 0)::bigint AS not_folded
FROM unnest(:partitions::integer[], :next_offsets::bigint[]) AS wanted (partition, next_offset)
LEFT JOIN partition_position AS position USING (partition)
LEFT JOIN compactor_position AS fold USING (partition);
