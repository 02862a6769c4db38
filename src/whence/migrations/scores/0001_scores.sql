-- What the services keep about users and items. Runs before the code. See docs/architecture.md for the picture.

-- External ids map to integers here and nowhere else; a row never changes.
CREATE TABLE user_ref (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id text COLLATE "C" NOT NULL UNIQUE
);
CREATE TABLE item_ref (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id text COLLATE "C" NOT NULL UNIQUE
);
CREATE TABLE event_type (
    code smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE
);

-- What we hold of (user, item, event type). log_sum is ln of the forward-decayed sum (whence.domain.decay); weights
-- are applied at read. No index on a score: every update stays a HOT update.
CREATE TABLE signal (
    user_id bigint NOT NULL,
    item_id bigint NOT NULL,
    event_type smallint NOT NULL,
    count bigint NOT NULL,
    log_sum double precision NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, item_id, event_type)
) WITH (fillfactor = 80);

-- The user's newest 64 items by (event time, offset), newest first, in one value: 25 bytes an item, three big-endian
-- signed numbers (item id, event time in microseconds since the epoch, offset) and a byte that is 1 if the user has
-- bought it. recent_items() unpacks it.
CREATE TABLE user_recent (
    user_id bigint PRIMARY KEY,
    packed bytea NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE user_recent ALTER COLUMN packed SET STORAGE PLAIN;

CREATE FUNCTION packed_bigint(packed bytea, at integer) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN ('x' || encode(substr(packed, at + 1, 8), 'hex'))::bit(64)::bigint;

CREATE FUNCTION recent_items(packed bytea, newest integer DEFAULT 64)
    RETURNS TABLE (rank integer, item_id bigint, last_at timestamptz, "offset" bigint, bought boolean)
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 50
    BEGIN ATOMIC
        SELECT place,
               packed_bigint(packed, 25 * place),
               timestamptz 'epoch' + packed_bigint(packed, 25 * place + 8) * interval '1 microsecond',
               packed_bigint(packed, 25 * place + 16),
               get_byte(packed, 25 * place + 24) <> 0
        FROM generate_series(0, least(length(packed) / 25, newest) - 1) AS place;
    END;

CREATE VIEW user_recent_item AS
    SELECT user_id, recent.* FROM user_recent, recent_items(packed) AS recent;

-- Where each partition stands: the only truth about what has been applied. The transaction that applies a batch
-- compares and swaps this row first. next_offset - base_offset = applied + duplicate + dead + absent, always.
CREATE TABLE partition_position (
    partition integer PRIMARY KEY,
    log_id text NOT NULL,
    base_offset bigint NOT NULL,
    next_offset bigint NOT NULL,
    epoch bigint NOT NULL DEFAULT 0,
    applied bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    absent bigint NOT NULL DEFAULT 0,
    last_appended_at timestamptz,
    last_event_at timestamptz,
    CHECK (next_offset - base_offset = applied + duplicate + dead + absent)
) WITH (fillfactor = 50);

-- The log that these scores were aggregated from; written by aggregate, read by everybody who handles tokens.
CREATE TABLE aggregated_log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id text NOT NULL,
    partitions integer NOT NULL
);

-- Who reads which partition. Safety never rests on these rows, only on partition_position.
CREATE TABLE partition_lease (
    partition integer PRIMARY KEY,
    owner text,
    expires_at timestamptz
) WITH (fillfactor = 50);
CREATE TABLE consumer_member (
    owner text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);

-- What is kept of a batch: dedupe window, the compactor's input, audit trail. All its records share one append hour.
--   event_hashes: 8 bytes a live event applied, signed little-endian (whence.domain.identity.event_hash), ascending
--   backfill_hashes: the same for backfill events; such segments are kept for good
--   user_ids: 8 bytes a touched user, signed little-endian, ascending
--   trend: 24 bytes an entry, signed little-endian (item id, start of the 5-minute bucket in seconds, count)
--   pairs: 48 bytes a first touch (PAIR_ROW in whence.aggregate.touches)
-- Hashes do not compress, and pairs cost more to compress than all else that is written of an event.
CREATE TABLE batch_segment (
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    end_offset bigint NOT NULL,
    append_hour bigint NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT now(),
    event_hashes bytea NOT NULL,
    backfill_hashes bytea NOT NULL,
    user_ids bytea NOT NULL,
    trend bytea NOT NULL,
    pairs bytea NOT NULL,
    PRIMARY KEY (partition, first_offset)
);
ALTER TABLE batch_segment ALTER COLUMN event_hashes SET STORAGE EXTERNAL;
ALTER TABLE batch_segment ALTER COLUMN pairs SET STORAGE EXTERNAL;
CREATE INDEX batch_segment_backfill ON batch_segment (partition) WHERE backfill_hashes <> ''::bytea;

-- Records that can never be applied, with their bytes and the reason; written in the batch's transaction.
CREATE TABLE dead_letter (
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    log_id text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    appended_at timestamptz NOT NULL,
    dead_at timestamptz NOT NULL DEFAULT now(),
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'replayed', 'discarded')),
    PRIMARY KEY (partition, "offset")
);

-- Aggregates across users. The compactor folds the segments' deltas, exactly once, up to these offsets.
CREATE TABLE compactor_position (
    partition integer PRIMARY KEY,
    next_offset bigint NOT NULL
) WITH (fillfactor = 50);

-- How many events touched an item in each stretch of time: level 0 is 5 minutes, 1 an hour, 2 a day.
CREATE TABLE trend_bucket (
    level smallint NOT NULL,
    start_at timestamptz NOT NULL,
    item_id bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (level, start_at, item_id)
) WITH (fillfactor = 80);

-- The decayed trend's 500 strongest items for each horizon ('6h', '1d', '7d'): value is the share of the decayed sum.
CREATE TABLE trend_list (
    horizon text NOT NULL,
    rank integer NOT NULL,
    item_id bigint NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (horizon, rank)
);

-- How often items were touched near each other, by source and 30-day epoch of event time, in units of 1/2520 (see
-- whence.domain.pairs); destinations ascend. bought_units is the part where both touches were purchases.
CREATE TABLE pair_count (
    source_id bigint NOT NULL,
    epoch integer NOT NULL,
    destination_ids bigint[] NOT NULL,
    units bigint[] NOT NULL,
    bought_units bigint[] NOT NULL,
    PRIMARY KEY (source_id, epoch)
);
CREATE VIEW pair AS
    SELECT source_id, epoch, destination_id, pair_units AS units, pair_bought_units AS bought_units
    FROM pair_count, unnest(destination_ids, units, bought_units)
        AS pair (destination_id, pair_units, pair_bought_units);

-- Neighbour lists of an item, strongest first: p(destination given source) from counts, and the daily refined weights.
-- bought: whether all of a pair's counts are of purchases on both sides.
CREATE TABLE item_neighbours (
    source_id bigint PRIMARY KEY,
    destination_ids bigint[] NOT NULL,
    probabilities double precision[] NOT NULL,
    bought boolean[] NOT NULL
);
CREATE TABLE item_refined (
    source_id bigint PRIMARY KEY,
    destination_ids bigint[] NOT NULL,
    weights double precision[] NOT NULL,
    mass double precision NOT NULL
);

-- The fit that item_refined is of: T, and the offsets of the snapshot. Equal offsets and T give equal weights.
CREATE TABLE refined_fit (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    as_of timestamptz NOT NULL,
    positions jsonb NOT NULL,
    touches bigint NOT NULL,
    weights bigint NOT NULL,
    seconds double precision NOT NULL,
    fitted_at timestamptz NOT NULL DEFAULT now()
);

-- The catalogue. A deleted item stays as a tombstone, so that it is never recommended again until it is put back.
CREATE TABLE catalogue_item (
    item_id bigint PRIMARY KEY REFERENCES item_ref (id),
    title text NOT NULL,
    description text,
    categories text[] NOT NULL DEFAULT '{}',
    attributes jsonb NOT NULL DEFAULT '{}',
    available boolean NOT NULL DEFAULT true,
    url text,
    image_url text,
    deleted boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX catalogue_item_categories ON catalogue_item USING gin (categories) WHERE NOT deleted;
CREATE INDEX catalogue_item_available ON catalogue_item (item_id) WHERE available AND NOT deleted;

-- Answers as they were served, for a replay of their reasons: kept 7 days, best effort.
CREATE TABLE served_list (
    recommendation_id text NOT NULL,
    served_at timestamptz NOT NULL,
    answer jsonb NOT NULL,
    PRIMARY KEY (recommendation_id, served_at)
) PARTITION BY RANGE (served_at);
