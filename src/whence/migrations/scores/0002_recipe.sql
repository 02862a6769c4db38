-- Published weights of event types. Runs before the code. The greatest version is in force for every list that is begun
-- after its commit; versions are never changed nor deleted, so that each answer can say which one it was made with.
--   weights: by event type name; a type that is missing has the weight that WHENCE_EVENT_TYPES gives it
CREATE TABLE recipe (
    version bigint PRIMARY KEY CHECK (version > 0),
    weights jsonb NOT NULL,
    published_at timestamptz NOT NULL,
    published_by text NOT NULL
);
