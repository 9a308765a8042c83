"""What `vafa keys` needs of a switch's settings: its HSM, its key store, its terminals and their counters."""
