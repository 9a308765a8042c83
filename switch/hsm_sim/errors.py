"""The error codes a host meets, as published for payShield host commands, and the exception that carries one.

Never put a key, a PIN, a card number or a block into a refusal: its text goes to the log.
"""

from __future__ import annotations

from typing import Final

OK: Final = "00"

# Only codes that this simulator gives. 01 to 09 have a meaning of their own in some commands.
ERRORS: Final[dict[str, str]] = {
    "00": "no error",
    "01": "verification failed; for an imported key: its parity was wrong and has been set",
    "02": "warning: the key is longer than the algorithm asks for; the result stands (IBM 3624 commands); "
    "data commands: invalid mode flag",
    "03": "invalid number of components; MAC and data commands: invalid input format",
    "04": "invalid key type code; MAC commands: invalid algorithm; data commands: invalid output format",
    "05": "invalid key length flag; MAC and data commands: invalid key type",
    "06": "MAC and data commands: invalid message length",
    "09": "MAC commands: invalid padding method",
    "10": "source key: parity error",
    "11": "destination or second key: parity error",
    "13": "invalid LMK identifier",
    "14": "PIN under the LMK is invalid",
    "15": "invalid input data: format, characters, or not enough or too much of it",
    "17": "not authorised: two officers have to allow this activity",
    "20": "PIN block does not contain valid values",
    "23": "invalid PIN block format code",
    "24": "PIN shorter than 4 or longer than 12 digits, or than the request allows",
    "25": "decimalisation table error",
    "26": "invalid key scheme",
    "27": "incompatible key length",
    "28": "invalid key type",
    "29": "key function not permitted",
    "35": "illegal message format",
    "41": "internal error",
    "68": "command is disabled or unknown",
    "69": "PIN block format is disabled",
    "80": "data length error",
    "81": "PIN length mismatch",
    "83": "key block format error",
    "A1": "incompatible LMK schemes",
    "A2": "incompatible LMK identifiers",
    "A3": "key block names another LMK identifier",
    "A4": "key block authentication failure",
    "A5": "incompatible key length",
    "A6": "invalid key usage",
    "A7": "invalid algorithm",
    "A8": "invalid mode of use",
    "A9": "invalid key version number",
    "AA": "invalid export field",
    "AB": "invalid number of optional blocks",
    "B5": "incompatible components",
}

# Tokens that somebody changed, or that come from elsewhere: these are written to the audit log.
TAMPERING: Final = frozenset({"10", "11", "83", "A1", "A2", "A3", "A4"})


class Refused(Exception):
    """A command ends with `code`. `detail` says what was wrong, in words that any log may hold."""

    def __init__(self, code: str, detail: str = "") -> None:
        assert code != OK
        assert code in ERRORS, code
        super().__init__(f"{code} {ERRORS[code]}{detail and ': ' + detail}")
        self.code = code
        self.detail = detail
