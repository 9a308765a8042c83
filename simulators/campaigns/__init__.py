"""Campaigns: real processes are killed, lines cut and ports flooded, again and again, and at the end every
receipt
is held against the ledger.

Each is a module with a `run` function and a command line; a seed repeats the same choices.
"""
