"""The parts that every service process uses: links to peers, listening, TLS, tracing, partitioning."""
