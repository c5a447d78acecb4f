-- Logs that are to be fetched from where they lie.
CREATE TABLE fetches (
    build        INTEGER PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    logs         TEXT    NOT NULL,             -- where they are, as JSON
    state        TEXT    NOT NULL DEFAULT 'due',
    attempts     INTEGER NOT NULL DEFAULT 0,
    announced_at INTEGER NOT NULL,
    next_try     INTEGER NOT NULL,
    problems     TEXT    NOT NULL DEFAULT '[]' -- what is missing of them, as JSON
) STRICT;
CREATE INDEX fetches_due ON fetches (next_try) WHERE state = 'due';
-- How far each source was heard.
CREATE TABLE marks (
    source TEXT PRIMARY KEY,
    mark   TEXT NOT NULL
) STRICT, WITHOUT ROWID;
