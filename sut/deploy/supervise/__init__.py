"""The supervisor and its parts: starts, restarts and ends processes; the watchdog cleans up after a killed runner."""
