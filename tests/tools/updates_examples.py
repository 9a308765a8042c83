"""The commands shown in docs/updates.md, run for real. `python -m tests.tools.updates_examples` writes what
they print into the page again; a test says when it is stale.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from switch.defaults import create_defaults
from tests.tools.keys_examples import BLOCK, _run_block
from tests.tools.kit import CHECKOUT
from tools.firmware_bundle import Signer, made

PAGE = CHECKOUT / "docs" / "updates.md"
FILES = {"terminal/__init__.mpy": b"M\x06", "terminal/main.mpy": b"M\x06" * 50}
VOLATILE = (
    (re.compile(r"1[34]\d\d/\d\d/\d\d"), "1405/06/10"),
    (re.compile(r"(1405/06/10 by )(?!A\. )[^:\s]+"), r"\1operator"),
)


def rendered(page: str) -> str:
    """The page with the output of every command as it is now."""
    key = ec.derive_private_key(7001, ec.SECP256R1())
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        create_defaults(directory / "data")
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (directory / "vendor.pem").write_bytes(public)
        (directory / "vafa-2.bundle").write_bytes(made("vafa-esp32", 2, 1, FILES, [Signer(0, key)]))
        page = BLOCK.sub(lambda block: _run_block(block[1], directory), page)
    for pattern, instead in VOLATILE:
        page = pattern.sub(instead, page)
    return page


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
