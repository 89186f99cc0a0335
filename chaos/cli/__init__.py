"""`petrel`: arguments in, one exit status out. Each command reads its options here and calls what does the work.
May import everything in chaos; nothing in chaos imports it.
"""
