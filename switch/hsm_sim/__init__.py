"""A payShield-style HSM over TCP, a process of its own, comes to live here. It may use `switch.hsm.crypto`
only."""
