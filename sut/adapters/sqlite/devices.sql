-- The user of each device, and where it gets its pushes: data/devices.db, written by the API and the push service.
CREATE TABLE device (
    device   INTEGER PRIMARY KEY,
    user     INTEGER NOT NULL,
    provider TEXT,               -- 'apns' or 'fcm'; null: no pushes
    token    TEXT,
    revoked  INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX device_of_user ON device (user, device) WHERE NOT revoked;
