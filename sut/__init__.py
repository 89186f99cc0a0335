"""The chat system: everything that takes a message from one device to the others. Imports nothing of load, chaos,
dashboards.
"""
