"""Push: follows the log by itself, and wakes up the devices that are not connected."""
