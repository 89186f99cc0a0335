"""The swarm: simulated people on simulated devices. Imports sut.protocol only."""
