-- Logs that are to be fetched from where they lie.
CREATE TABLE fetches (
    build        BIGINT PRIMARY KEY REFERENCES builds (id) ON DELETE CASCADE,
    logs         TEXT   NOT NULL,             -- where they are, as JSON
    state        TEXT   COLLATE "C" NOT NULL DEFAULT 'due',
    attempts     BIGINT NOT NULL DEFAULT 0,
    announced_at BIGINT NOT NULL,
    next_try     BIGINT NOT NULL,
    problems     TEXT   NOT NULL DEFAULT '[]' -- what is missing of them, as JSON
);
CREATE INDEX fetches_due ON fetches (next_try) WHERE state = 'due';
-- How far each source was heard.
CREATE TABLE marks (
    source TEXT COLLATE "C" PRIMARY KEY,
    mark   TEXT NOT NULL
);
