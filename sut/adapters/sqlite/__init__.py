"""SQLite: the log and the store of the embedded profile, keys and devices."""
