"""The line in TLS, 1.3, or 1.2 with ephemeral keys and AEAD; both sides show a certificate.

Loaded only by a terminal whose settings name certificates. Keys stay in the files and in mbedTLS. On
MicroPython's own `tls`, which is the same on all boards but for what a port leaves out: of its sockets only
`read`, `write` and `setblocking` are everywhere, of the suites each port has some.
"""

from terminal.hal import CertificateError
from terminal.hal.streams import LINE_BYTES, readable

try:
    import tls
except ImportError:
    tls = None  # CPython: another module does the same

# RFC 9325, 4.2, by mbedTLS's names: of these, what has AES-GCM.
_SUITES = "TLS1-3-AES-", "TLS-ECDHE-ECDSA-WITH-AES-", "TLS-ECDHE-RSA-WITH-AES-"
# Errors of mbedTLS that speak of a certificate: of X.509, a fatal alert of the peer, a bad certificate.
_X509_FIRST, _X509_LAST = 0x2080, 0x3000
_ALERT, _BAD_CERTIFICATE = 0x7780, 0x7A00
_REFUSED = "the switch's certificate is refused: "
_TOO_EARLY = "The certificate validity starts in the future"
_SILENCES = 3  # a switch that is being restarted ends one or two


def secure(paths, line, clock=None):
    """A `line` with TLS, see `terminal.hal`. The files are read for the first connection, and a mistake in
    them is told then.

    clock: where the one that certificates are held against begins anew at each start, see
    `terminal.hal.microcontroller`.
    """
    silence = Silence()
    contexts = []

    def secure_line(host, port):
        if tls:
            make, context_of = TlsLine, Context
        else:
            from terminal.hal.cpython import TlsLine as make
            from terminal.hal.cpython import context_of
        if not contexts:
            contexts.append(context_of(paths, clock))
        return make(contexts[0], silence, line(host, port))

    return secure_line


class Silence:
    """Connections that ended before the switch said anything, one after the other.

    A switch that refuses the terminal's certificate says so only after the terminal has begun to talk (TLS
    1.3), and that word is often lost with the connection; that each one ends at once is what remains of it.
    """

    def __init__(self):
        self.count = 0

    def heard(self, data):
        """What read() brought: something, or the end. Raises CertificateError."""
        self.count = 0 if data else self.count + 1
        if self.count >= _SILENCES:
            raise CertificateError("the switch ends the line at once: is this terminal's certificate good?")


class Context:
    """What connections have in common. paths: (authority, certificate, key), PEM. Raises CertificateError."""

    def __init__(self, paths, clock):
        self.is_verified = False  # the certificate of the switch, in the connection that is made now
        self._clock = clock
        context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        context.verify_mode = tls.CERT_REQUIRED
        context.verify_callback = self._seen
        there = [suite for suite in context.get_ciphers() if "-GCM-" in suite]
        suites = [suite for suite in there for begin in _SUITES if suite.startswith(begin)]
        if not suites:
            raise CertificateError("this MicroPython was built without AES-GCM: no TLS that is good enough")
        context.set_ciphers(suites)
        authority, certificate, key = [_content(path) for path in paths]
        try:
            context.load_verify_locations(authority)
        except (OSError, ValueError):
            raise CertificateError(paths[0] + ": no certificate in PEM")
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ValueError):
            raise CertificateError(paths[1] + ", " + paths[2] + ": no certificate with its key in PEM")
        self._context = context

    def wrapped(self, socket, host):
        self.is_verified = False
        return self._context.wrap_socket(socket, server_hostname=host, do_handshake_on_connect=False)

    def _seen(self, certificate, depth):
        if self._clock:
            self._clock.seen(bytes(certificate))
        self.is_verified = depth == 0
        return 0

    def told(self, error):
        """The error to raise for one of mbedTLS. A certificate that is good but for the time may have put the
        clock right: the next connection tells."""
        if isinstance(error, ValueError):
            what = str(error).strip()
            if what == _TOO_EARLY and self._clock and self._clock.follows():
                return OSError(what)
            return CertificateError(_REFUSED + what)
        code = abs(error.errno or 0)
        if code == _ALERT:
            return CertificateError("the switch refused this terminal's certificate, or ended the line")
        if _X509_FIRST <= code <= _X509_LAST or code == _BAD_CERTIFICATE:
            return CertificateError(_REFUSED + "mbedTLS error %04X" % code)
        return error


def _content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        raise CertificateError(path + ": can't be read")


class TlsLine:
    """As the line below, a TcpLine; connect() and read() raise CertificateError too."""

    def __init__(self, context, silence, line):
        self._context = context
        self._silence = silence
        self._has_heard = False
        self._line = line
        self._socket = None
        self._early = None
        self._unsent = None  # came before hands were shaken to the end

    async def connect(self):
        """Until the switch has shown its certificate; the rest of the handshake goes on with reading."""
        await self._line.connect()
        try:
            self._socket = self._context.wrapped(self._line.socket, self._line.host)
            while True:
                self._early = self._socket.read(LINE_BYTES)  # shakes hands as far as it can
                if self._early is not None or self._context.is_verified:
                    return
                await readable(self._socket)
        except (OSError, ValueError) as error:
            raise self._context.told(error)

    def send(self, data):
        if self._unsent is not None:
            return 0
        try:
            count = self._socket.write(data)
        except OSError:
            return 1  # a part may have left: whoever asked must not count on the opposite
        if count is None:
            self._unsent = bytes(data)  # mbedTLS wants the same again
            count = len(data)
        return count or 1

    async def read(self):
        data, self._early = self._early, None
        while data is None:
            try:
                if self._unsent is not None and self._socket.write(self._unsent) is not None:
                    self._unsent = None
                data = self._socket.read(LINE_BYTES)
            except (OSError, ValueError) as error:
                error = self._context.told(error)
                if isinstance(error, CertificateError):
                    raise error
                data = b""  # broken or ended, it is over
            if data is None:
                await readable(self._socket)
        if not self._has_heard:
            self._has_heard = True
            self._silence.heard(data)
        return data

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._line.close()
