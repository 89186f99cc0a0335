"""The client machine: one device across many connections, sans-I/O. It takes inputs and returns frames and events."""
