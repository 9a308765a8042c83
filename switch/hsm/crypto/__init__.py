"""Payment cryptography of the HSM: pure functions over bytes, made from the standards on `cryptography`.

Clear keys and clear PINs exist only in here and in what an HSM keeps inside. No I/O, no log, no clock; no
exception, repr or message of this package carries a key, a PIN or a card number.
"""
