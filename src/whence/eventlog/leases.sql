-- name: make_rows!
INSERT INTO partition_lease (partition) SELECT generate_series(0, :partitions - 1) ON CONFLICT DO NOTHING

-- name: keep_member!
INSERT INTO consumer_member (owner, expires_at)
VALUES (:owner, clock_timestamp() + :lease_seconds * interval '1 second')
ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at

-- name: forget_members!
-- SKIP LOCKED: a member that is being renewed at this moment is not dead, and waiting for it could deadlock.
DELETE FROM consumer_member
WHERE owner IN (SELECT owner FROM consumer_member WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED)

-- name: members
-- How many members live, and how many of them come before this one by name.
SELECT count(*), count(*) FILTER (WHERE owner < :owner)
FROM consumer_member
WHERE expires_at >= clock_timestamp() OR owner = :owner

-- name: renew
-- One that has expired but that nobody has claimed is still ours.
UPDATE partition_lease
SET expires_at = clock_timestamp() + :lease_seconds * interval '1 second'
WHERE owner = :owner AND partition < :partitions
RETURNING partition

-- name: claim
UPDATE partition_lease
SET owner = :owner, expires_at = clock_timestamp() + :lease_seconds * interval '1 second'
WHERE partition IN (
    SELECT partition FROM partition_lease
    WHERE partition < :partitions AND (owner IS NULL OR expires_at < clock_timestamp())
    ORDER BY partition
    LIMIT :wanted
    FOR UPDATE SKIP LOCKED
)
RETURNING partition

-- name: release!
UPDATE partition_lease SET owner = NULL, expires_at = NULL
WHERE owner = :owner AND partition = ANY (:released)

-- name: release_all!
UPDATE partition_lease SET owner = NULL, expires_at = NULL WHERE owner = :owner

-- name: leave!
DELETE FROM consumer_member WHERE owner = :owner
