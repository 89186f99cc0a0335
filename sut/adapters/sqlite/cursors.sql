-- What devices have shown: data/cursors.db, written by all chat services. A cursor that is lost costs a device some
-- messages that it gets again and does not show again.
CREATE TABLE cursor (
    device INTEGER NOT NULL,
    conv   INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (device, conv)
) WITHOUT ROWID;
