"""Histories: read from our binary records or from JSON lines that anybody recorded, held as one polars frame,
written out. Imports load.history for the formats.
"""
