-- What bug trackers say, by the name that fingerprints use. Nothing of it goes when a tracker is down.
CREATE TABLE bugs (
    name         TEXT    PRIMARY KEY,
    facts        TEXT,                        -- as JSON; absent until the tracker has answered once
    validator    TEXT,                        -- what the tracker calls this state of the bug
    fetched_at   INTEGER,                     -- when the tracker last said that it is so
    read_at      INTEGER,                     -- when all of it was last read
    tried_at     INTEGER,
    failures     INTEGER NOT NULL DEFAULT 0,  -- tries in vain since then
    error        TEXT,
    comment      TEXT,                        -- the comment with the counts, as the tracker names it
    comment_text TEXT,
    comment_at   INTEGER
) STRICT;

-- Bugs that were closed and are hit again: one row for each closing.
CREATE TABLE bug_returns (
    bug       TEXT    NOT NULL,
    closed_at INTEGER NOT NULL,
    hit_at    INTEGER NOT NULL,
    raised_at INTEGER NOT NULL,
    told_at   INTEGER,
    PRIMARY KEY (bug, closed_at)
) STRICT;
