"""The tables of the SQLite ledger. Keys are time-ordered, the bucket a plain column: trees grow at their end.

No foreign keys, triggers, sequences or per-account index: ids are made by the application, and such an index
would halve the rate. All values are NOT NULL, absent ones are 0 or empty. An older ledger is brought forward
by the same statements that a new one is made by, so both have one schema.
"""

from __future__ import annotations

SCHEMA_VERSION = 3

# Sealed in the bucket's chain: entry, transfer, posting, side.
# Derived from these: account, member, reversed, bucket_head, credential, code_count, key_mark.
# With a seal in each row: directory and mobile (personal, can be erased), answered (marks of answers without
# an entry), owner, meta.
_VERSION_1 = """
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    identity BLOB NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    terminal TEXT NOT NULL,
    acceptor TEXT NOT NULL,
    business_date TEXT NOT NULL,
    decided_ms INTEGER NOT NULL,
    member INTEGER NOT NULL,
    response_code TEXT NOT NULL,
    answer BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE transfer (
    entry INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    reverses INTEGER NOT NULL,
    PRIMARY KEY (entry, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE posting (
    entry INTEGER NOT NULL,
    transfer INTEGER NOT NULL,
    leg INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    holder TEXT NOT NULL,
    program TEXT NOT NULL,
    unit INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (entry, transfer, leg)
) STRICT, WITHOUT ROWID;
CREATE TABLE side (
    entry INTEGER NOT NULL,
    number INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    member INTEGER NOT NULL,
    status INTEGER NOT NULL,
    original BLOB NOT NULL,
    PRIMARY KEY (entry, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE account (
    kind INTEGER NOT NULL,
    holder TEXT NOT NULL,
    program TEXT NOT NULL,
    unit INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    PRIMARY KEY (kind, holder, program, unit, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE member (
    id INTEGER PRIMARY KEY,
    status INTEGER NOT NULL
) STRICT;
CREATE TABLE directory (
    identifier BLOB PRIMARY KEY NOT NULL,
    member INTEGER NOT NULL,
    masked_card TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX directory_member ON directory (member);
CREATE TABLE reversed (
    original BLOB PRIMARY KEY NOT NULL,
    entry INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE bucket_head (
    bucket INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    seal BLOB NOT NULL,
    members INTEGER NOT NULL
) STRICT;
CREATE TABLE owner (
    first_bucket INTEGER PRIMARY KEY,
    last_bucket INTEGER NOT NULL,
    name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
# Marks of key serials, PINs, one-time codes, mobile numbers.
_VERSION_2 = """
ALTER TABLE entry ADD COLUMN key_serial BLOB NOT NULL DEFAULT x'';
ALTER TABLE entry ADD COLUMN request_mac BLOB NOT NULL DEFAULT x'';
CREATE TABLE key_mark (
    initial_key BLOB PRIMARY KEY NOT NULL,
    counter INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE answered (
    initial_key BLOB PRIMARY KEY NOT NULL,
    counter INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE credential (
    member INTEGER PRIMARY KEY,
    verifier BLOB NOT NULL,
    pin_wrong INTEGER NOT NULL,
    code BLOB NOT NULL,
    code_expires_ms INTEGER NOT NULL,
    code_wrong INTEGER NOT NULL
) STRICT;
CREATE TABLE mobile (
    identifier BLOB PRIMARY KEY NOT NULL,
    member INTEGER NOT NULL UNIQUE,
    masked TEXT NOT NULL,
    sealed BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
# Wrong card verification values; how many one-time codes were sent for whom.
_VERSION_3 = """
ALTER TABLE credential ADD COLUMN card_wrong INTEGER NOT NULL DEFAULT 0;
CREATE TABLE code_count (
    subject TEXT PRIMARY KEY NOT NULL,
    since_ms INTEGER NOT NULL,
    sent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
# What brings a ledger from one version to the next; the first makes a new one.
VERSIONS = (_VERSION_1, _VERSION_2, _VERSION_3)
TABLES = "".join(VERSIONS)
