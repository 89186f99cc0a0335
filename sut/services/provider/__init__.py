"""Stand-ins for the push providers: Apple's and Google's protocols, spoken truly, over TLS, with faults on demand."""
