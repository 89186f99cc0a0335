-- How far people have got and read each conversation: data/receipts.db, written by the sequencers. What is lost here
-- is said again by the devices, or was not to be known.
CREATE TABLE receipt (
    conv INTEGER NOT NULL,
    user INTEGER NOT NULL,
    kind INTEGER NOT NULL, -- 0 delivered, 1 read
    seq  INTEGER NOT NULL,
    PRIMARY KEY (conv, user, kind)
) WITHOUT ROWID;
