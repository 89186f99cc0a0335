"""Looks from outside: does a process answer, is a service well, what has this machine, what was left behind."""
