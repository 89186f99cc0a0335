"""Links and packets between processes, broken and restored. Only here is toxiproxy imported."""
