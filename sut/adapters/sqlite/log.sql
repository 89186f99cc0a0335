-- One partition of the log: data/log-NN.db. Rows are only ever added, by writers that take turns, so offsets rise in
-- the order in which transactions commit, and a reader that has seen an offset has seen all below it.
CREATE TABLE log (
    offset INTEGER PRIMARY KEY,  -- the rowid: one more than the highest
    crc    INTEGER NOT NULL,     -- CRC-32 of record; SQLite itself does not notice a changed byte in a value
    record BLOB NOT NULL         -- sut.ports.LogRecord as a msgpack array
);
