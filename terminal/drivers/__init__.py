"""A device's own language, as bytes in and events out: readers, scanners, printers, modems and the others.

A driver knows no board and waits for nothing; `terminal.hal` brings it its bytes. Those that hold a
conversation with their device all have these four calls; what is to be done is asked of them beside:

feed(data, now_ms)   bytes of the device, torn anywhere -> list of events
tick(now_ms)         -> list of events; when deadline_ms() has come
deadline_ms()        when tick() has something to do, None while nothing is waited for
to_send()            bytes for the device, each once; b"" when there are none

A device that is unplugged, silent, babbling or lying is an event, never an exception. Buffers are bounded,
and wiped when they held what a card said.
"""
