"""The tables of the SQLite ledger. Keys are time-ordered, the bucket a plain column: trees grow at their end.

No foreign keys, triggers, sequences or per-account index: ids are made by the application, and such an index
would halve the rate; what is due changes rarely and has one. A member's history is found along
`entry.previous`. All values are NOT NULL, absent ones are 0 or empty. An older ledger is brought forward by
the same statements that a new one is made by, so both have one schema.
"""

from __future__ import annotations

# Numbers 1 and 2 were of a form of entry that no release wrote.
FIRST_VERSION = 3
SCHEMA_VERSION = 3

# Sealed in the bucket's chain: entry.
# Derived from it: member, account, counter, reversed, followed, hold, code_count, batch, bucket_head,
# key_mark.
# With a seal in each row: directory (personal, can be erased), answered (marks of answers without an entry),
# owner, meta.
_VERSION_3 = """
CREATE TABLE entry (
    id INTEGER PRIMARY KEY,
    bucket INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    identity BLOB NOT NULL UNIQUE,
    fingerprint BLOB NOT NULL,
    operation TEXT NOT NULL,
    terminal TEXT NOT NULL,
    acceptor TEXT NOT NULL,
    business_date TEXT NOT NULL,
    decided_ms INTEGER NOT NULL,
    member INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    response_code TEXT NOT NULL,
    amount INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    answer BLOB NOT NULL,
    key_serial BLOB NOT NULL,
    request_mac BLOB NOT NULL,
    body BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
CREATE TABLE member (
    id INTEGER PRIMARY KEY,
    status INTEGER NOT NULL,
    last_entry INTEGER NOT NULL,
    active_day INTEGER NOT NULL,
    due INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX member_due ON member (due, id) WHERE due < 2147483647;
CREATE TABLE account (
    kind INTEGER NOT NULL,
    holder TEXT NOT NULL,
    program TEXT NOT NULL,
    unit INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    balance INTEGER NOT NULL,
    PRIMARY KEY (kind, holder, program, unit, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (
    scope INTEGER NOT NULL,
    period TEXT NOT NULL,
    holder TEXT NOT NULL,
    operation TEXT NOT NULL,
    bucket INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (scope, period, holder, operation, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE reversed (
    original BLOB PRIMARY KEY NOT NULL,
    entry INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE followed (
    entry INTEGER PRIMARY KEY,
    amount INTEGER NOT NULL,
    units INTEGER NOT NULL,
    ended INTEGER NOT NULL
) STRICT;
CREATE TABLE hold (
    id INTEGER PRIMARY KEY,
    member INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE code_count (
    subject TEXT PRIMARY KEY NOT NULL,
    since_ms INTEGER NOT NULL,
    sent INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE batch (
    terminal TEXT NOT NULL,
    number INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    differs INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (terminal, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE directory (
    identifier BLOB PRIMARY KEY NOT NULL,
    member INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    masked TEXT NOT NULL,
    sealed BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX directory_member ON directory (member);
CREATE TABLE bucket_head (
    bucket INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL,
    seal BLOB NOT NULL,
    members INTEGER NOT NULL
) STRICT;
CREATE TABLE key_mark (
    initial_key BLOB PRIMARY KEY NOT NULL,
    counter INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE answered (
    initial_key BLOB PRIMARY KEY NOT NULL,
    counter INTEGER NOT NULL,
    seal BLOB NOT NULL
) STRICT, WITHOUT ROWID;
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
# What brings a ledger from one version to the next; the first makes a new one.
VERSIONS = {3: _VERSION_3}
