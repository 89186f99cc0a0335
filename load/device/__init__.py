"""One simulated person with one device, without I/O: bytes and the time go in, bytes and history events come out."""
