"""Checks from outside: process answers, service health, the machine's abilities, remains of a stopped system."""
