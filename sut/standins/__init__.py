"""Stand-ins for APNs and FCM: the providers' protocols over TLS, with faults on demand, for tests and runs."""
