"""One run from start to verdict: experiment, schedule, system, swarm, faults, read-back, run directory.

Imports chaos.faults, chaos.verdict, chaos.screen, load and sut.deploy.
"""
