-- The conversations of each user, past ones too: data/memberships.db, written by all sequencers, read by the chat
-- services. A pair is committed here before its conversation is in data/store-NN.db; one whose conversation never
-- followed is harmless, since heads and pages come from there.
CREATE TABLE membership (
    user INTEGER NOT NULL,
    conv INTEGER NOT NULL,
    PRIMARY KEY (user, conv)
) WITHOUT ROWID;
