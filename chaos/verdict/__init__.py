"""The verdict: a history goes in, a verdict comes out. Nothing here opens a socket or knows what recorded the history.

history.py reads one, facts.py derives what the checks share, checks/ holds one file a check, judge.py adds up.
"""
