"""The desk: a process beside Locust's web page that breaks the system for it, and looks at system and history.

It imports what Locust's own process must not: faults, the deployment, the verdict. It gets orders as lines on standard
input and tells news as lines on standard output (load/drive/desk.py).
"""
