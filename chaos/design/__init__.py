"""The design at any size: what it needs, computed from its numbers, and the fleet simulated. Pure arithmetic; imports
`chaos.errors` only.
"""
