"""What CPython does in MicroPython's place on the unix board; only `hal.streams` and `hal.tls` import it.

Waiting for a descriptor in asyncio, the place of an exception, TLS.
"""

import asyncio

from terminal.hal import CertificateError

try:
    import ssl
except ImportError:
    ssl = None  # read by MicroPython, this module does nothing

_LINE_BYTES = 512  # as in hal.streams, which can't be imported here


async def readable(stream):
    """Returns when there is something to read."""
    loop = asyncio.get_running_loop()
    await _ready(stream, loop.add_reader, loop.remove_reader)


async def writable(stream):
    """Returns when something can be written."""
    loop = asyncio.get_running_loop()
    await _ready(stream, loop.add_writer, loop.remove_writer)


async def _ready(stream, add, remove):
    descriptor = stream.fileno()
    ready = asyncio.get_running_loop().create_future()
    add(descriptor, _set, ready)
    try:
        await ready
    finally:
        remove(descriptor)


def _set(ready):
    if not ready.done():
        ready.set_result(None)


def place_of(error):
    """File and function where an exception was raised."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return code.co_filename + ", " + code.co_name


# ---------------------------------------------------------------- TLS, as hal.tls


def context_of(paths, clock=None):
    """The context of (authority, certificate, key), PEM files. Raises CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    authority, certificate, key = paths
    for path in paths:
        try:
            open(path, "rb").close()
        except OSError:
            raise CertificateError(path + ": can't be read")
    try:
        context.load_verify_locations(cafile=authority)
    except (OSError, ValueError):
        raise CertificateError(authority + ": no certificate in PEM")
    try:
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError):
        raise CertificateError(certificate + ", " + key + ": no certificate with its key in PEM")
    return context


class TlsLine:
    """As the line below, a TcpLine; connect() and read() raise CertificateError too."""

    def __init__(self, context, silence, line):
        self._context = context
        self._silence = silence
        self._has_heard = False
        self._line = line
        self._socket = None

    async def connect(self):
        await self._line.connect()
        self._socket = self._context.wrap_socket(
            self._line.socket, server_hostname=self._line.host, do_handshake_on_connect=False
        )
        await self._until_done(self._socket.do_handshake)

    def send(self, data):
        try:
            return self._socket.send(data) or 1
        except OSError:
            return 1  # a part may have left: whoever asked must not count on the opposite

    async def read(self):
        try:
            data = await self._until_done(lambda: self._socket.recv(_LINE_BYTES))
        except CertificateError:
            raise
        except OSError:
            data = b""  # broken or ended, it is over
        if not self._has_heard:
            self._has_heard = True
            self._silence.heard(data)
        return data

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._line.close()

    async def _until_done(self, call):
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                await readable(self._socket)
            except ssl.SSLWantWriteError:
                await writable(self._socket)
            except ssl.SSLCertVerificationError as error:
                raise CertificateError("the switch's certificate is refused: " + error.verify_message)
            except ssl.SSLError as error:
                if "ALERT" in (error.reason or ""):
                    raise CertificateError(
                        "the switch refused this terminal's certificate, or ended the line"
                    )
                raise
