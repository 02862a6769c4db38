-- name: make_log!
-- The log's name and number of partitions; an existing log stays as it is.
INSERT INTO log_info (log_id, partitions) VALUES (:log_id, :partitions) ON CONFLICT DO NOTHING

-- name: make_partitions!
INSERT INTO log_partition (partition)
SELECT generate_series(0, partitions - 1) FROM log_info
ON CONFLICT DO NOTHING

-- name: log_info
SELECT log_id, partitions FROM log_info

-- name: durable_commits
-- A commit that is acknowledged must survive a crash, whatever the server's default; a stronger default stays. The
-- isolation level must let an appender that waited see the offsets that the one before it took.
SELECT set_config('default_transaction_isolation', 'read committed', false),
       set_config(
           'synchronous_commit',
           CASE WHEN setting.commits IN ('off', 'local') THEN 'on' ELSE setting.commits END,
           false
       )
FROM (VALUES (current_setting('synchronous_commit'))) AS setting (commits)

-- name: append
-- One transaction: take the partitions in order (no deadlock), move their next offsets, write the records, wake the
-- consumers. Row locks are held until the commit, so that the records of a partition become visible in offset order.
-- Gives the first offset of each partition.
WITH place AS MATERIALIZED (
    SELECT partition, next_offset FROM log_partition
    WHERE partition = ANY (:partitions)
    ORDER BY partition
    FOR UPDATE
), moved AS (
    UPDATE log_partition
    SET next_offset = place.next_offset + added.records
    FROM place JOIN unnest(:partitions, :counts) AS added (partition, records) USING (partition)
    WHERE log_partition.partition = place.partition
), written AS (
    INSERT INTO log_record (partition, "offset", appended_at, key, value)
    SELECT partition, place.next_offset + record.rank, clock_timestamp(), record.key, record.value
    FROM unnest(:record_partitions, :ranks, :keys, :values) AS record (partition, rank, key, value)
    JOIN place USING (partition)
)
SELECT partition, next_offset, pg_notify(:channel, '') FROM place

-- name: places
-- Where partitions end now, and which log this is.
SELECT log_id, partition, next_offset
FROM log_info CROSS JOIN log_partition
WHERE partition = ANY (:partitions)

-- name: watermarks
SELECT coalesce(
           (SELECT "offset" FROM log_record AS record
            WHERE record.partition = place.partition ORDER BY "offset" LIMIT 1),
           next_offset
       ),
       next_offset
FROM log_partition AS place
WHERE partition = :partition

-- name: records
-- Ranges of records, each cut where the records before have filled its bytes; its first record always comes.
SELECT record.partition, record."offset", record.appended_at, record.key, record.value
FROM unnest(:partitions, :starts, :ends) AS wanted (partition, start_offset, end_offset)
CROSS JOIN LATERAL (
    SELECT *,
           sum(octet_length(key) + octet_length(value)) OVER (
               ORDER BY "offset" ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
           ) - octet_length(key) - octet_length(value) AS bytes_before
    FROM log_record
    WHERE log_record.partition = wanted.partition
      AND "offset" >= wanted.start_offset
      AND "offset" < wanted.end_offset
) AS record
WHERE record.bytes_before < :range_bytes
