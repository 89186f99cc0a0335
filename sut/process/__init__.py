"""What every service process is made of: links to peers, listening, TLS, tracing, partitioning. Imports sut.protocol
and sut.ports.
"""
