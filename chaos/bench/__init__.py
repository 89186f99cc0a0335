"""`petrel bench NAME` and `petrel limits`: each measures one cost of the design.

A bench is one module with a `BENCH`. Imports chaos.run, load.bench and sut.deploy.
"""
