"""End-to-end encryption, client side and sans-I/O: X3DH, Double Ratchet, sender keys, device lists, safety numbers."""
