"""Between the network and the screen: encryption, payloads, causal order, incoming and outgoing messages."""
