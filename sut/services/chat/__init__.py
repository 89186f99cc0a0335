"""Stateless: takes a SEND to the log, and answers FETCH and SYNC from the sequencers' memory or the store."""
