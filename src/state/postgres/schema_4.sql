-- What bug trackers say, by the name that fingerprints use. Nothing of it goes when a tracker is down.
CREATE TABLE bugs (
    name         TEXT   COLLATE "C" PRIMARY KEY,
    facts        TEXT,                       -- as JSON; absent until the tracker has answered once
    validator    TEXT,                       -- what the tracker calls this state of the bug
    fetched_at   BIGINT,                     -- when the tracker last said that it is so
    read_at      BIGINT,                     -- when all of it was last read
    tried_at     BIGINT,
    failures     BIGINT NOT NULL DEFAULT 0,  -- tries in vain since then
    error        TEXT,
    comment      TEXT,                       -- the comment with the counts, as the tracker names it
    comment_text TEXT,
    comment_at   BIGINT
);

-- Bugs that were closed and are hit again: one row for each closing.
CREATE TABLE bug_returns (
    bug       TEXT   COLLATE "C" NOT NULL,
    closed_at BIGINT NOT NULL,
    hit_at    BIGINT NOT NULL,
    raised_at BIGINT NOT NULL,
    told_at   BIGINT,
    PRIMARY KEY (bug, closed_at)
);
