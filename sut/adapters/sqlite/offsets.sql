-- How far each follower of the log is with each partition: data/offsets.db. A file of its own, so that commits do not
-- take turns with appends.
CREATE TABLE committed (
    partition INTEGER PRIMARY KEY,  -- and whose: commit_key.py
    offset    INTEGER NOT NULL
);
