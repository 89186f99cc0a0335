"""`petrel simulate`: the fleet at any size, as numbers. Cohorts in numpy, queues message by message; no process is
started and no clock is read. Imports `chaos.design` and `chaos.errors` only.
"""
