"""Push: follows the log by itself, and wakes devices that are not connected."""
