"""The verdict: returns a verdict for a history. Nothing here opens a socket or knows what recorded the history.

There are four layers, and each imports only those before it. history/ reads a history, relations/ derives what the
checks share, checks/ holds one file per check, and judge.py combines the results.
"""
