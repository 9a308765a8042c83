"""The acquirer host: pure parts for messages, decisions and the ledger, composed by `switch.server`.

Sockets, disks and clocks live in thin shells at the edge; of the firmware only `terminal.text` may be used.
"""
