"""Stateless: appends SENDs to the log, and answers FETCH and SYNC from the sequencers' memory or the store."""
