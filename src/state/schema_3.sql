-- What a cluster that somebody else fills has answered for reports: every build that it has events
-- of, and which of them each fingerprint finds.
CREATE TABLE survey_builds (
    uuid    TEXT NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL,  -- its last event
    failed  INTEGER NOT NULL,
    job     TEXT,
    project TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX survey_builds_at ON survey_builds (failed, at);
CREATE TABLE survey_hits (
    fingerprint TEXT NOT NULL,
    uuid        TEXT NOT NULL,
    PRIMARY KEY (fingerprint, uuid)
) STRICT, WITHOUT ROWID;
CREATE INDEX survey_hits_build ON survey_hits (uuid);
-- Up to when each fingerprint was asked for, and what it meant then.
CREATE TABLE survey_marks (
    fingerprint TEXT NOT NULL PRIMARY KEY,
    meaning     TEXT NOT NULL,
    upto        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
