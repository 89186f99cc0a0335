"""What several checks derive from a history: who sent, acked, showed and read back what; who was where when; fault
windows.
"""
