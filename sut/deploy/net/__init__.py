"""Links and packets between processes, broken and mended. Only here is toxiproxy imported."""
