"""The supervisor and what it needs: processes started, restarted, ended; the watchdog behind a killed runner."""
