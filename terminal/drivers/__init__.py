"""A device's own language, as bytes in and events out: stripe reader, printer and, as they come, the others.

A driver knows no board and waits for nothing; `terminal.hal` brings it its bytes.
"""
