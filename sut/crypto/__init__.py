"""End-to-end encryption for clients, sans-I/O: X3DH, Double Ratchet, sender keys, device lists, safety numbers."""
