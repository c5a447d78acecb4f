-- A note is what a target should know of a topic: for most topics it is said once, for the patchset
-- of a change it follows what becomes known.
ALTER TABLE notes RENAME TO notes_of_1;
DROP INDEX notes_due;
DROP INDEX notes_state;
CREATE TABLE notes (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- receivers know a note by its number: never used twice
    build        INTEGER REFERENCES builds (id) ON DELETE CASCADE, -- the build that it was last made for
    target       TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    follows      INTEGER NOT NULL,           -- 1: it is brought up to date after it was said
    kind         TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    json         TEXT    NOT NULL,
    generation   INTEGER NOT NULL DEFAULT 1, -- how often what it should say has changed
    state        TEXT    NOT NULL DEFAULT 'due',
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    next_try     INTEGER NOT NULL,
    delivered_at INTEGER,
    error        TEXT,
    remote       TEXT,                       -- what the target calls it
    UNIQUE (target, topic)
) STRICT;
INSERT INTO notes (id, build, target, topic, follows, kind, text, json, state, attempts, created_at,
                   next_try, delivered_at, error)
SELECT n.id, n.build, n.target, 'build/' || b.uuid || '/' || n.kind, 0, n.kind, n.text, n.json,
       CASE n.state WHEN 'due' THEN 'superseded' ELSE n.state END, n.attempts, n.created_at,
       n.next_try, n.delivered_at, n.error
FROM notes_of_1 n JOIN builds b ON b.id = n.build;
DROP TABLE notes_of_1;
CREATE INDEX notes_due ON notes (target, next_try) WHERE state = 'due';
CREATE INDEX notes_state ON notes (state, id);
CREATE INDEX notes_build ON notes (build);

-- The patchsets of changes, to know the newest.
CREATE TABLE patchsets (
    change   TEXT    NOT NULL,
    project  TEXT    NOT NULL,
    patchset TEXT    NOT NULL,
    number   INTEGER NOT NULL, -- 0 where patchsets have no numbers: then the one seen last is newest
    seen_at  INTEGER NOT NULL,
    PRIMARY KEY (change, project, patchset)
) STRICT, WITHOUT ROWID;
ALTER TABLE builds ADD COLUMN patchset TEXT;
UPDATE builds SET patchset = json_extract(meta, '$.patchset');
CREATE INDEX builds_patchset ON builds (change, patchset) WHERE change IS NOT NULL;
