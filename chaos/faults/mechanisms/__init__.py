"""The ways to break something, each written once: crash, pause, partition, packet partition, toxic, full disk.

A fault is a mechanism applied to a target. Imports the proofs and the undo steps.
"""
