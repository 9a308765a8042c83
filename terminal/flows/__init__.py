"""What the cashier does, one coroutine each: activate, earn, redeem, balance.

Flows await cards, keys, answers and timeouts; they never import asyncio.
"""
