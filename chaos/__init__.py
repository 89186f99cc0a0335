"""Breaking the system on purpose, and judging what came of it. Imports sut.deploy (to start and break a system) and
load.
"""
