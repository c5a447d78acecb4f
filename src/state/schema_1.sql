-- Times are microseconds since 1970 in UTC.
CREATE TABLE builds (
    id            INTEGER PRIMARY KEY,
    uuid          TEXT    NOT NULL UNIQUE,
    meta          TEXT    NOT NULL,           -- the whole build as JSON; the columns below are for searching
    job           TEXT,
    pipeline      TEXT,
    project       TEXT,
    branch        TEXT,
    change        TEXT,
    result        TEXT,
    failed        INTEGER NOT NULL,
    received_at   INTEGER NOT NULL,
    completed_at  INTEGER,
    at            INTEGER NOT NULL,           -- finished, else completed_at, else received_at
    waiting       INTEGER NOT NULL DEFAULT 1, -- complete or not, what is there has not been looked at
    verdict       TEXT    NOT NULL DEFAULT 'pending',
    verdict_at    INTEGER,
    rules_version TEXT,
    problems      TEXT    NOT NULL DEFAULT '[]',
    verdict_id    INTEGER REFERENCES verdicts (id) DEFERRABLE INITIALLY DEFERRED
) STRICT;
-- Covers the report's tallies, so that it reads no build itself.
CREATE INDEX builds_tally ON builds (failed, at, verdict, project, pipeline, job, branch);
CREATE INDEX builds_at ON builds (at);
CREATE INDEX builds_verdict ON builds (verdict, at);
CREATE INDEX builds_waiting ON builds (completed_at) WHERE waiting = 1;
CREATE INDEX builds_verdict_id ON builds (verdict_id);

CREATE TABLE logs (
    build       INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    name        TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    sha256      TEXT,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (build, name)
) STRICT, WITHOUT ROWID;

-- The history: only ever added to.
CREATE TABLE verdicts (
    id            INTEGER PRIMARY KEY,
    build         INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    verdict       TEXT    NOT NULL,
    rules_version TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    problems      TEXT    NOT NULL,
    fingerprints  TEXT    NOT NULL
) STRICT;
CREATE INDEX verdicts_build ON verdicts (build, id);

-- The matches of the current verdict; `at` and `failed` repeat the build's for exact counts in one pass.
CREATE TABLE matches (
    id          INTEGER PRIMARY KEY,
    build       INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    fingerprint TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    failed      INTEGER NOT NULL,
    hits        INTEGER NOT NULL,
    title       TEXT    NOT NULL,
    bug_name    TEXT    NOT NULL,
    bug_url     TEXT,
    advice      TEXT,
    category    TEXT,
    returned    INTEGER NOT NULL,
    quiet       INTEGER NOT NULL,
    UNIQUE (build, fingerprint)
) STRICT;
CREATE INDEX matches_count ON matches (fingerprint, at, failed, hits);

CREATE TABLE evidence (
    match   INTEGER NOT NULL REFERENCES matches (id) ON DELETE CASCADE,
    seq     INTEGER NOT NULL,
    file    TEXT    NOT NULL,
    line    INTEGER NOT NULL,
    offset  INTEGER NOT NULL,
    excerpt TEXT    NOT NULL,
    spans   TEXT    NOT NULL,
    PRIMARY KEY (match, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- receivers know a note by its number: never used twice
    build        INTEGER NOT NULL REFERENCES builds (id) ON DELETE CASCADE,
    target       TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    json         TEXT    NOT NULL,
    state        TEXT    NOT NULL DEFAULT 'due',
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    next_try     INTEGER NOT NULL,
    delivered_at INTEGER,
    error        TEXT,
    UNIQUE (build, target, kind)
) STRICT;
CREATE INDEX notes_due ON notes (next_try) WHERE state = 'due';
CREATE INDEX notes_state ON notes (state, id);

CREATE TABLE reports (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    summary TEXT    NOT NULL,
    json    TEXT    NOT NULL
) STRICT;
CREATE INDEX reports_at ON reports (at);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
) STRICT;
