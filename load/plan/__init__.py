"""Who exists, who talks to whom, who writes, looks and leaves when: made in advance from the seed. Pure."""
