"""TLS on MicroPython's own `tls`: 1.3, or 1.2 with ephemeral keys and AEAD; both sides show a certificate.

Loaded only by a terminal whose settings name certificates. Keys stay in the files and in mbedTLS.
"""

import tls

from terminal.hal import CertificateError
from terminal.hal.unix import LINE_BYTES, TcpLine, readable

# RFC 9325, 4.2; the names are mbedTLS's.
_SUITES = (
    "TLS1-3-AES-128-GCM-SHA256",
    "TLS1-3-AES-256-GCM-SHA384",
    "TLS1-3-CHACHA20-POLY1305-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
)
# Errors of mbedTLS that speak of a certificate: of X.509, a fatal alert of the peer, a bad certificate.
_X509_FIRST, _X509_LAST = 0x2080, 0x3000
_ALERT, _BAD_CERTIFICATE = 0x7780, 0x7A00


def context_of(paths):
    """The context of (authority, certificate, key), PEM files. Raises CertificateError."""
    context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    context.verify_mode = tls.CERT_REQUIRED
    context.set_ciphers(_SUITES)
    authority, certificate, key = [_content(path) for path in paths]
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError):
        raise CertificateError(paths[0] + ": no certificate in PEM")
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError):
        raise CertificateError(paths[1] + ", " + paths[2] + ": no certificate with its key in PEM")
    return context


def _content(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        raise CertificateError(path + ": can't be read")


class TlsLine(TcpLine):
    """As TcpLine; connect() and read() raise CertificateError too."""

    def __init__(self, context, silence, host, port):
        super().__init__(host, port)
        self._context = context
        self._silence = silence
        self._has_heard = False
        self._below = None
        self._early = None

    async def connect(self):
        await super().connect()
        self._below = self._socket
        try:
            self._socket = self._context.wrap_socket(
                self._below, server_hostname=self._host, do_handshake_on_connect=False
            )
            self._socket.setblocking(False)
            while True:
                self._early = self._socket.recv(LINE_BYTES)  # shakes hands as far as it can
                if self._early is not None or self._socket.getpeercert(True):
                    return
                await readable(self._socket)
        except (OSError, ValueError) as error:
            raise _told(error)

    def send(self, data):
        try:
            return self._socket.write(data) or 1
        except OSError:
            return 1  # a part may have left: whoever asked must not count on the opposite

    async def read(self):
        data, self._early = self._early, None
        while data is None:
            try:
                data = self._socket.recv(LINE_BYTES)
            except (OSError, ValueError) as error:
                error = _told(error)
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
        super().close()
        if self._below is not None:
            self._below.close()
            self._below = None


def _told(error):
    """The error to raise for one of mbedTLS."""
    if isinstance(error, ValueError):
        return CertificateError("the switch's certificate is refused: " + str(error).strip())
    code = -error.errno if error.errno < 0 else error.errno
    if code == _ALERT:
        return CertificateError("the switch refused this terminal's certificate, or ended the line")
    if _X509_FIRST <= code <= _X509_LAST or code == _BAD_CERTIFICATE:
        return CertificateError("the switch's certificate is refused: mbedTLS error %04X" % code)
    return error
