-- How far each partition of the log is in the store: data/offsets.db. A file of its own, so that commits do not take
-- turns with appends.
CREATE TABLE committed (
    partition INTEGER PRIMARY KEY,
    offset    INTEGER NOT NULL
);
