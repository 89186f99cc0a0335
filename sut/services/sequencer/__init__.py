"""Owns log partitions: numbers records in log order, answers, notifies, and writes the store behind that."""
