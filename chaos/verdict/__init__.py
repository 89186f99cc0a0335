"""The verdict: a history goes in, a verdict comes out. Nothing here opens a socket or knows what recorded the history.

Four layers, each of which imports only those before it: history/ reads one, relations/ derives what the checks share,
checks/ holds one file a check, judge.py adds up.
"""
