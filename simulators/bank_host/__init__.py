"""A bank's host that does as told: what it answers, how late, or that it doesn't.

`rules` reads what to do from a file, `host` decides what one message gets (pure), `server` is the asyncio
shell. Made for tests of the other side: it authorizes nobody, checks no MAC and keeps no accounts. No card
number leaves it except inside an answer.
"""
