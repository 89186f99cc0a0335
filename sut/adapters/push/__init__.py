"""APNs and FCM: the push providers, over HTTP/2."""
