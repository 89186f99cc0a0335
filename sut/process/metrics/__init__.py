"""The numbers of one process for Prometheus: what is measured (instruments), what is only counted (catalogue), how it
is served (serving). It may import `sut.deploy.topology` and nothing else of the system, so that anything may use it.
"""
