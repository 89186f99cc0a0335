"""Starts, watches and stops a system: its processes, their addresses and their servers. Imports the product only to
launch it.
"""
