"""Reads histories into one polars frame, from our binary records or from JSON lines, and writes them out again.

Imports load.history for the formats.
"""
