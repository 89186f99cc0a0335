"""Runs a system in containers of Docker Engine: images, networks, lives of containers, and the faults on them.

zones.py is pure and says where each service runs. engine.py is the only module that calls the SDK. Imports sut.deploy.
"""
