"""Push: follows the log independently, and wakes devices that are not connected."""
