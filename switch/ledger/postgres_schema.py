"""The tables of the PostgreSQL ledger. `bucket` leads every key and index, so that rows spread by bucket.

No foreign keys, sequences, triggers, advisory locks or constraints over buckets: ids are made by the
application, and one owner writes a range of buckets. All values are NOT NULL, absent ones are 0 or empty.

What an owner adds up over all its buckets (account, counter, code_count, batch, key_mark, answered) stands in
the first bucket of its range; the sum over all `owner.first_bucket` is the whole. A directory row stands in
the bucket that its identifier's first byte names, since the member isn't known when it is looked for.
"""

from __future__ import annotations

from switch.ledger.schema import SCHEMA_VERSION

# Hot rows change in every batch; room on their page keeps a changed row off the indexes (HOT).
_ROOM = "WITH (fillfactor = 70)"

_VERSION_3 = f"""
CREATE TABLE entry (
    bucket integer NOT NULL,
    id bigint NOT NULL,
    sequence bigint NOT NULL,
    identity bytea NOT NULL,
    fingerprint bytea NOT NULL,
    operation text COLLATE "C" NOT NULL,
    terminal text COLLATE "C" NOT NULL,
    acceptor text COLLATE "C" NOT NULL,
    business_date text COLLATE "C" NOT NULL,
    decided_ms bigint NOT NULL,
    member bigint NOT NULL,
    previous bigint NOT NULL,
    response_code text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    batch bigint NOT NULL,
    answer bytea NOT NULL,
    key_serial bytea NOT NULL,
    request_mac bytea NOT NULL,
    body bytea NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (bucket, id),
    UNIQUE (bucket, identity)
);
CREATE INDEX entry_transfer ON entry (bucket, id)
    WHERE (operation = ANY (ARRAY['transfer'::text, 'transfer.reversal'::text]));
CREATE TABLE member (
    bucket integer NOT NULL,
    id bigint NOT NULL,
    status integer NOT NULL,
    last_entry bigint NOT NULL,
    active_day bigint NOT NULL,
    due bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (bucket, id)
) {_ROOM};
CREATE INDEX member_due ON member (bucket, due, id) WHERE (due < 2147483647);
CREATE TABLE account (
    bucket integer NOT NULL,
    kind integer NOT NULL,
    holder text COLLATE "C" NOT NULL,
    program text COLLATE "C" NOT NULL,
    unit integer NOT NULL,
    balance bigint NOT NULL,
    PRIMARY KEY (bucket, kind, holder, program, unit)
) {_ROOM};
CREATE TABLE counter (
    bucket integer NOT NULL,
    scope integer NOT NULL,
    period text COLLATE "C" NOT NULL,
    holder text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    entries bigint NOT NULL,
    amount bigint NOT NULL,
    units bigint NOT NULL,
    PRIMARY KEY (bucket, scope, period, holder, operation)
) {_ROOM};
CREATE TABLE reversed (
    bucket integer NOT NULL,
    original bytea NOT NULL,
    entry bigint NOT NULL,
    PRIMARY KEY (bucket, original)
);
CREATE TABLE followed (
    bucket integer NOT NULL,
    entry bigint NOT NULL,
    amount bigint NOT NULL,
    units bigint NOT NULL,
    ended integer NOT NULL,
    PRIMARY KEY (bucket, entry)
);
CREATE TABLE hold (
    bucket integer NOT NULL,
    id bigint NOT NULL,
    member bigint NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (bucket, id)
);
CREATE INDEX hold_expires ON hold (bucket, expires_ms, id);
CREATE TABLE code_count (
    bucket integer NOT NULL,
    subject text COLLATE "C" NOT NULL,
    since_ms bigint NOT NULL,
    sent bigint NOT NULL,
    PRIMARY KEY (bucket, subject)
);
CREATE TABLE batch (
    bucket integer NOT NULL,
    terminal text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    entry bigint NOT NULL,
    differs integer NOT NULL,
    ended bigint NOT NULL,
    PRIMARY KEY (bucket, terminal, number)
);
CREATE TABLE directory (
    bucket integer NOT NULL,
    identifier bytea NOT NULL,
    member bigint NOT NULL,
    kind integer NOT NULL,
    masked text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (bucket, identifier)
);
CREATE INDEX directory_member ON directory (bucket, member);
CREATE TABLE bucket_head (
    bucket integer NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL,
    seal bytea NOT NULL,
    members bigint NOT NULL
) {_ROOM};
CREATE TABLE key_mark (
    bucket integer NOT NULL,
    initial_key bytea NOT NULL,
    counter bigint NOT NULL,
    PRIMARY KEY (bucket, initial_key)
) {_ROOM};
CREATE TABLE answered (
    bucket integer NOT NULL,
    initial_key bytea NOT NULL,
    counter bigint NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (bucket, initial_key)
) {_ROOM};
CREATE TABLE owner (
    first_bucket integer NOT NULL PRIMARY KEY,
    last_bucket integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,
    writer bigint NOT NULL,
    seal bytea NOT NULL
) {_ROOM};
CREATE TABLE meta (
    bucket integer NOT NULL,
    name text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    seal bytea NOT NULL,
    PRIMARY KEY (bucket, name)
);
"""
# What brings a ledger from one version to the next; the first makes a new one. The numbers are those of
# `switch.ledger.schema`: a version means the same ledger on every engine.
VERSIONS = {3: _VERSION_3}
assert max(VERSIONS) == SCHEMA_VERSION, "every engine knows the newest version"

# All tables, each with the column that spreads it.
BUCKET_COLUMNS = {
    "entry": "bucket",
    "member": "bucket",
    "account": "bucket",
    "counter": "bucket",
    "reversed": "bucket",
    "followed": "bucket",
    "hold": "bucket",
    "code_count": "bucket",
    "batch": "bucket",
    "directory": "bucket",
    "bucket_head": "bucket",
    "key_mark": "bucket",
    "answered": "bucket",
    "owner": "first_bucket",
    "meta": "bucket",
}
