"""Redis Cluster: registry, presence and revocations over several masters; and looks at its nodes from outside."""
