-- The committed position of each follower in each partition: data/offsets.db. A separate file, so that commits do not
-- take turns with appends.
CREATE TABLE committed (
    partition INTEGER PRIMARY KEY,  -- partition and follower: commit_key.py
    offset    INTEGER NOT NULL
);
