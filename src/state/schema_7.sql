-- What nobody wants to hear of for a while.
CREATE TABLE silences (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL, -- change, project, fingerprint
    what     TEXT    NOT NULL, -- a change as NUMBER or PROJECT#NUMBER
    until    INTEGER NOT NULL,
    by_whom  TEXT    NOT NULL,
    reason   TEXT,
    at       INTEGER NOT NULL,
    ended_at INTEGER,          -- before its time
    ended_by TEXT
);
CREATE INDEX silences_until ON silences (until);

-- A sentence that stands before every note.
CREATE TABLE outages (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    text     TEXT    NOT NULL,
    from_at  INTEGER NOT NULL,
    until    INTEGER,          -- absent: until somebody ends it
    by_whom  TEXT    NOT NULL,
    ended_at INTEGER,
    ended_by TEXT
);

-- Who asked for another run, and why.
CREATE TABLE rechecks (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    project  TEXT    NOT NULL,
    change   TEXT    NOT NULL,
    patchset TEXT    NOT NULL,
    by_whom  TEXT    NOT NULL,
    kind     TEXT    NOT NULL, -- rule, command, comment
    reason   TEXT,             -- fingerprints or bugs
    dry      INTEGER NOT NULL,
    sent     INTEGER NOT NULL
);
CREATE UNIQUE INDEX rechecks_heard ON rechecks (change, project, patchset, by_whom, at);
CREATE UNIQUE INDEX rechecks_asked ON rechecks (change, project, patchset, dry) WHERE kind <> 'comment';
CREATE INDEX rechecks_at ON rechecks (at);
