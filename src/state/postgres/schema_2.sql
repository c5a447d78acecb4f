-- What a cluster that somebody else fills has answered for reports: every build that it has events
-- of, and which of them each fingerprint finds.
CREATE TABLE survey_builds (
    uuid    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    at      BIGINT NOT NULL,  -- its last event
    failed  BIGINT NOT NULL,
    job     TEXT COLLATE "C",
    project TEXT COLLATE "C"
);
CREATE INDEX survey_builds_at ON survey_builds (failed, at);
CREATE TABLE survey_hits (
    fingerprint TEXT COLLATE "C" NOT NULL,
    uuid        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (fingerprint, uuid)
);
CREATE INDEX survey_hits_build ON survey_hits (uuid);
-- Up to when each fingerprint was asked for, and what it meant then.
CREATE TABLE survey_marks (
    fingerprint TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    meaning     TEXT COLLATE "C" NOT NULL,
    upto        BIGINT NOT NULL
);
