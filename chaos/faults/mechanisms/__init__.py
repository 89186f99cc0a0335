"""The ways to break something, each written once: kill, pause, cut, slow down, drop packets, take a quorum away. A
fault is a mechanism applied to a target.
"""
