-- name: sizes_of
-- About how much the counts of some sources are, in bytes of destinations as they are stored.
SELECT source_id, sum(pg_column_size(destination_ids))::bigint
FROM pair_count
WHERE source_id = ANY (:sources) AND epoch >= :first_epoch
GROUP BY source_id

-- name: counts_of
SELECT source_id, epoch::bigint, destination_ids, units, bought_units
FROM pair_count
WHERE source_id = ANY (:sources) AND epoch >= :first_epoch

-- name: put_counts!
-- One row for each (source, epoch); its arrays are slices of what all rows of the fold have together.
INSERT INTO pair_count AS held (source_id, epoch, destination_ids, units, bought_units)
SELECT source_id, epoch, (:destinations)[first : last], (:units)[first : last], (:bought_units)[first : last]
FROM unnest(:sources, :epochs, :starts, :ends) AS row (source_id, epoch, first, last)
ON CONFLICT (source_id, epoch) DO UPDATE
SET destination_ids = excluded.destination_ids, units = excluded.units, bought_units = excluded.bought_units

-- name: put_neighbours!
INSERT INTO item_neighbours AS held (source_id, destination_ids, probabilities, bought)
SELECT source_id, (:destinations)[first : last], (:probabilities)[first : last], (:bought)[first : last]
FROM unnest(:sources, :starts, :ends) AS row (source_id, first, last)
ON CONFLICT (source_id) DO UPDATE
SET destination_ids = excluded.destination_ids, probabilities = excluded.probabilities, bought = excluded.bought
