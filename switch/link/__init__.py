"""Links: framing, later connection states and request matching. Pure state machines; imports only iso8583."""
