"""The client machine: one device across many connections, sans-I/O. What happens goes in, frames and events come
out.
"""
