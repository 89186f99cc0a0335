"""One simulated person with one device, without I/O: takes bytes and the time, returns bytes and history events."""
