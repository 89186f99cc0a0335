"""Single looks from outside at processes, links, brokers and nodes.

Each returns a Proof: whether a claim holds, and what was seen. Nothing here changes the system, except that
`takes_writes` writes a probe key. Imports chaos.faults.world, sut.adapters and sut.deploy.
"""
