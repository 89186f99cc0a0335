"""`petrel antipatterns`: a wrong choice beside the right one, both running, measured in one go.

A module here has a `PATTERN` (pattern.py). Small ones start processes of their own; systems.py uses the benches, with
whole systems. Every figure is measured in the same minutes on the same machine, so ratios compare and figures do not.
"""
