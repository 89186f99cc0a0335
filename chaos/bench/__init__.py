"""`petrel bench NAME` and `petrel limits`: one cost of the design each, measured. A bench is one module with a
`BENCH`. Imports chaos.run, load.bench and sut.deploy.
"""
