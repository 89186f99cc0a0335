"""What one Cassandra node sends to the others is lost, while what they send arrives: it believes that all is well.

Breaks: it takes the others for alive and goes on coordinating, and every answer that it waits for comes to nothing;
the others believe it dead, but what they write still arrives there, unconfirmed.
Proven: packets from it to the others are dropped; the others hear each other's heartbeats and its no more.
Undone: packets pass again. Healed when all nodes hear each other again and each finds every replica.
"""

from __future__ import annotations

from chaos.faults.partition_cassandra import PartitionCassandra


class PartitionCassandraOneWay(PartitionCassandra):
    """Packets of one node to the others' storage ports are dropped: each node sends over connections of its own."""

    name = "partition_cassandra_one_way"
    one_way = True
