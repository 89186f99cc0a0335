"""Between the wire and the screen: encryption, payloads, causal order, what is read and what is written."""
