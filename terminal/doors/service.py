"""Service port: keys are loaded through it; the module for that is there only while somebody talks."""

import terminal
from terminal.doors import Device
from terminal.flows.wait import KEYS_LOADED


class ServicePort(Device):
    """Events KEYS_LOADED; new keys count at once."""

    def __init__(self, app, kind):
        self._app = app
        self._service = None
        self._out = b""

    def plugged(self, present, now_ms):
        self._out = b""
        return ()

    def feed(self, data, now_ms):
        if self._service is None:
            from terminal.injection import Service

            app = self._app
            self._service = Service(app.keys, app.settings.terminal_id, app.log, app.events)
        loaded = self._service.loaded
        self._out += self._service.feed(data)
        return () if self._service.loaded == loaded else ((KEYS_LOADED, None),)

    def to_send(self):
        out, self._out = self._out, b""
        return out

    def rest(self):
        if self._service is not None and self._service.is_between_frames:
            self._service = None
            terminal.forget("terminal.injection")
