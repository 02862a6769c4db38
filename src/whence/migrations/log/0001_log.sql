-- The event log on PostgreSQL: append-only records in partitions with gapless offsets. Runs before the code.

CREATE TABLE log_info (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id text NOT NULL,
    partitions integer NOT NULL CHECK (partitions BETWEEN 1 AND 256)
);

-- An appender holds the rows of the partitions it writes until it commits, so offsets become readable in order.
CREATE TABLE log_partition (
    partition integer PRIMARY KEY,
    next_offset bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE log_record (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    appended_at timestamptz NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (partition, "offset")
);
