"""The HTML report of a run, and the page that compares two. Imports chaos.verdict and nothing else of the project."""
