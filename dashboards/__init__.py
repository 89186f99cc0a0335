"""The HTML report of a run, pages that play what happened in it, and the page that compares two.

Imports chaos.verdict and sut.protocol.frames, and nothing else of the project.
"""
