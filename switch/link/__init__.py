"""Links to partners. Pure state machines and one asyncio shell; imports only iso8583.

framing             bytes <-> frames
states, diagram     the life of a link as tables, and their drawing (docs/link_states.md)
matching            requests in flight and whose answer a message is
network             sign-on, sign-off, echo
core                one link without sockets; client and server are its two ends
stream              Client and Server on real sockets
store_and_forward   a queue of advices that survives power cuts; forwarder sends it over a link
errors              how all of these refuse

How to use them: docs/links.md.
"""
