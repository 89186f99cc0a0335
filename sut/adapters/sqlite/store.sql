-- One partition of the store: data/store-NN.db. Written by the sequencer of the partition, read by the chat services.
-- Everything is keyed by the conversation first, as in Cassandra. `crc` is the CRC-32 of all other columns of the row
-- (checksum.py): SQLite itself does not notice a changed byte in a value.
CREATE TABLE conversation (
    conv    INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,        -- 'd', 'g' or 'm'
    creator INTEGER NOT NULL,
    head    INTEGER NOT NULL,     -- the last number given
    applied INTEGER NOT NULL,     -- the log offset of the last record applied: a write below it changes nothing
    crc     INTEGER NOT NULL
);

-- Messages and membership changes by number.
CREATE TABLE message (
    conv       INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    flags      INTEGER NOT NULL,
    user       INTEGER NOT NULL,
    device     INTEGER NOT NULL,
    client_seq INTEGER NOT NULL,  -- 64 bits without a sign, kept with one; never compared here
    body       BLOB NOT NULL,
    crc        INTEGER NOT NULL,
    PRIMARY KEY (conv, seq)
) WITHOUT ROWID;

-- Stays of users: the numbers n with first <= n < until, until 0 while the user is there.
CREATE TABLE span (
    conv  INTEGER NOT NULL,
    user  INTEGER NOT NULL,
    first INTEGER NOT NULL,
    until INTEGER NOT NULL,
    crc   INTEGER NOT NULL,
    PRIMARY KEY (conv, user, first)
) WITHOUT ROWID;

-- The last message sequenced from each device: what makes a repeated SEND harmless, kept for ever.
CREATE TABLE mark (
    conv       INTEGER NOT NULL,
    device     INTEGER NOT NULL,
    client_seq INTEGER NOT NULL,  -- as in message
    seq        INTEGER NOT NULL,
    digest     INTEGER NOT NULL,  -- of the body, as in ports.SenderMark
    crc        INTEGER NOT NULL,
    PRIMARY KEY (conv, device)
) WITHOUT ROWID;

-- Roles in a group that a change of the group gave, kept when the user leaves (then: a plain member's).
CREATE TABLE role (
    conv INTEGER NOT NULL,
    user INTEGER NOT NULL,
    role INTEGER NOT NULL,        -- as in ports.Role
    seq  INTEGER NOT NULL,        -- the number that gave it
    crc  INTEGER NOT NULL,
    PRIMARY KEY (conv, user)
) WITHOUT ROWID;

-- How far each conversation had come on each day. So retention works by whole days, without a scan.
CREATE TABLE reached (
    day  INTEGER NOT NULL,        -- since 1970, UTC, when the rows were stored
    conv INTEGER NOT NULL,
    seq  INTEGER NOT NULL,        -- the highest number stored that day
    PRIMARY KEY (day, conv)
) WITHOUT ROWID;
