"""Receipt printer: a job goes out whole, its last bytes ask how it went, and the answer is an event."""

from terminal.doors import Device
from terminal.drivers.printer import paper_status
from terminal.flows.wait import PRINTER


class Printer(Device):
    """Events PRINTER. A printer that says nothing is found out by whoever waits for its answer."""

    def __init__(self, app, kind):
        self._job = b""

    def print(self, data):
        """One that still waits is out of date."""
        self._job = data

    def plugged(self, present, now_ms):
        self._job = b""
        return ()

    def feed(self, data, now_ms):
        status = paper_status(data)
        return () if status is None else ((PRINTER, status),)

    def to_send(self):
        job, self._job = self._job, b""
        return job
