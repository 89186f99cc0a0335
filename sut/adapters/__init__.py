"""The servers behind the ports: one folder per backend. Only here are redis, cassandra and aiokafka imported. May
import sut.ports, sut.protocol and sut.process.
"""
