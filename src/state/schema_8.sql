-- Patchsets about which it is to be decided whether another run is asked for.
CREATE TABLE recheck_due (
    project  TEXT    NOT NULL,
    change   TEXT    NOT NULL,
    patchset TEXT    NOT NULL,
    since    INTEGER NOT NULL, -- the verdict after which nothing was decided for good
    due_at   INTEGER NOT NULL,
    PRIMARY KEY (change, project, patchset)
);
CREATE INDEX recheck_due_at ON recheck_due (due_at);

-- What was decided, and why; the same again is not repeated.
CREATE TABLE recheck_decisions (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    project  TEXT    NOT NULL,
    change   TEXT    NOT NULL,
    patchset TEXT    NOT NULL,
    decision TEXT    NOT NULL, -- ask, later, no
    reason   TEXT    NOT NULL,
    dry      INTEGER NOT NULL
);
CREATE INDEX recheck_decisions_of ON recheck_decisions (change, project, patchset, id);
CREATE INDEX recheck_decisions_at ON recheck_decisions (at);
