-- Published keys: data/keys.db. All API processes write it.
CREATE TABLE device (
    user         INTEGER NOT NULL,
    device       INTEGER NOT NULL,
    identity     BLOB,             -- null: revoked
    signed       INTEGER,          -- number of the signed prekey
    signed_key   BLOB,
    signature    BLOB,
    highest      INTEGER NOT NULL, -- one-time prekeys up to this number were published once: they never come back
    PRIMARY KEY (user, device)
) WITHOUT ROWID;

-- One-time prekeys that nobody has: taking one deletes it.
CREATE TABLE one_time (
    user   INTEGER NOT NULL,
    device INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key    BLOB NOT NULL,
    PRIMARY KEY (user, device, number)
) WITHOUT ROWID;

-- Signed lists of each user's devices, as they came.
CREATE TABLE device_list (
    user    INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    data    BLOB NOT NULL
);
