"""An extension of Chaos Toolkit: actions and probes for a system that `petrel up` started, and an export to its format.

It needs the extra `chaostoolkit`. May import what `chaos` may, and `chaoslib`.
"""
