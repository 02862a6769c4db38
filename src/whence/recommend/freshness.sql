-- name: positions
-- The log that the scores come from, and where its partitions stand; no row before anything was ever aggregated.
SELECT log_id, aggregated_log.partitions, partition, next_offset
FROM aggregated_log
LEFT JOIN partition_position USING (log_id);
