"""The chat system on Kubernetes: kustomize bases, what makes their topology, and what their probes ask.

`base` has the system, `swarm` a Locust and a runner beside it, `example` puts both together. Kafka, Cassandra and Redis
with Sentinels are there already. docs/kubernetes.md says how to apply them.
"""
