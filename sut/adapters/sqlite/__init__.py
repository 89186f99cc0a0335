"""SQLite: the log, the store, keys and devices of the embedded profile."""
