"""A payShield-style HSM over TCP and TLS, a process of its own (`vafa hsm run`). It may use
`switch.hsm.crypto`, nothing else of the switch.

From the wire inwards: `server` (sockets), `framing`, `machine` (one request, one answer), `layouts` with
`fields`, `key_usage` and `slots`, the command modules; beside them `authorised`, `audit`, `vault`, `console`.
"""
