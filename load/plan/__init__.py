"""The plan of the swarm, made in advance from the seed: users, conversations, sends, looks and absences. Pure."""
