-- name: event_types
SELECT name, code FROM event_type

-- name: add_event_types!
INSERT INTO event_type (name) SELECT unnest(:names::text[]) ON CONFLICT (name) DO NOTHING

-- name: claim_log!
-- These scores belong to this log from now on, unless they belong to one already.
INSERT INTO aggregated_log (log_id, partitions) VALUES (:log_id, :partitions) ON CONFLICT (only_row) DO NOTHING

-- name: claimed_log
SELECT log_id, partitions FROM aggregated_log
