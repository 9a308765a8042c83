"""One door per board: serial, display, keypad, storage, clock, random, crypto, network.

Only here may a module know which board it runs on.
"""
