-- The last number delivered to and read by each user: data/receipts.db, written by the sequencers. Devices report again
-- what is lost here.
CREATE TABLE receipt (
    conv INTEGER NOT NULL,
    user INTEGER NOT NULL,
    kind INTEGER NOT NULL, -- 0 delivered, 1 read
    seq  INTEGER NOT NULL,
    PRIMARY KEY (conv, user, kind)
) WITHOUT ROWID;
