"""`petrel`: reads arguments and returns one exit status. Each command reads its options here and calls the rest.

May import everything in chaos; nothing in chaos imports it.
"""
