"""Breaks the system on purpose and judges the result.

Imports sut.deploy (to start and break a system) and load.
"""
