"""One door per board: serial, display, keypad, storage, clock, random, crypto, network.

Only here may a module know which board it runs on. A board is one object, made once at start and given to the
application and to the driver of its input and output; nothing else asks where it runs. Its attributes:

clock     now_ms() -> int: milliseconds that never go back, from any start.
          set_wall((year, month, day, hour, minute, second)); wall() -> the same tuple, None before that.
storage   read(name) -> bytes or None; size(name) -> its bytes or None; piece(name, at, count) -> bytes
          from there, so many, fewer at its end; append(name, data), which makes it when there is none,
          replace(name, data), remove(name): durable when they return; replace happens whole or not at all,
          append maybe in part when the power goes. All raise OSError.
forget_given_keys
          forget_given_keys(): take the key block out of the settings' file; durable when it returns. Raises
          OSError, ValueError: it may still be there.
random    random(count) -> bytes fit for keys and vectors.
aes       aes(key, mode, iv) as in MicroPython's cryptolib: mode 1 ECB, 2 CBC; encrypt(data) or decrypt(data).
display   show(canvas) -> digest of its dots; a canvas of 128 x 64, packed by lines (terminal.hal.canvas).
devices   what is fitted: door -> {"kind": as in terminal.doors.KINDS, ...}.
door      door(name) -> the serial port of a device, None when it isn't fitted: open() raises OSError; await
          read() -> bytes, b"" when the device has gone; await write(data); close().
line      line(host, port) -> a new connection: await connect(); send(data) -> count of bytes that left, at
          once; await read() -> bytes, b"" when the peer has gone; close(). All raise OSError.
secure    secure(paths) -> a `line` with TLS, by the PEM files of authority, certificate and key. Its
          connect() and read() raise CertificateError too.
update    None where software can't be updated; else model, version (of the software that the board came
          with), keys (64 bytes each) and how many signatures are needed; slot(number) -> the files of a
          software slot, see `terminal.hal.files`; restart(), which does not return.
emit      emit(event): one dictionary to whoever watches the terminal; never raises.
fault     fault(error) -> kind and place of an exception without its text (which might quote a card).
"""


class CertificateError(OSError):
    """A certificate or its key can't be used, or one side refuses the other's; the text says which."""

    def __init__(self, what):
        super().__init__(what)
        self.what = what
