"""The HTML report of a run. Imports chaos.verdict and nothing else of the project."""
