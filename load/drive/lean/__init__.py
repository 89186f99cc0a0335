"""The tier `fleet`: processes of up to 18,000 devices each, without Locust and gevent, forked from one parent.

A device at rest is a row in arrays (crew.py) and some hundred bytes. It becomes a whole device (load/device) when
something arrives or is due, and rests again when nothing is under way. Locust drives all of it: host.py runs in its
process, parent.py forks, process.py is one fleet. Only host.py may import gevent.
"""
