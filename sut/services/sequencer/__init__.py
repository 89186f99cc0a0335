"""Owns log partitions: numbers records in log order, answers, notifies, and then writes the store."""
