-- A note is what a target should know of a topic: for most topics it is said once, for the patchset
-- of a change it follows what becomes known.
ALTER TABLE notes ALTER COLUMN build DROP NOT NULL; -- the build that it was last made for
ALTER TABLE notes ADD COLUMN topic TEXT COLLATE "C";
ALTER TABLE notes ADD COLUMN follows BIGINT NOT NULL DEFAULT 0; -- 1: it is brought up to date after it was said
ALTER TABLE notes ADD COLUMN generation BIGINT NOT NULL DEFAULT 1; -- how often what it should say has changed
ALTER TABLE notes ADD COLUMN remote TEXT; -- what the target calls it
ALTER TABLE notes DROP CONSTRAINT notes_build_target_kind_key;
ALTER TABLE notes DROP COLUMN taken;
UPDATE notes SET topic = 'build/' || b.uuid || '/' || kind,
                 state = CASE state WHEN 'due' THEN 'superseded' ELSE state END
FROM builds b WHERE b.id = notes.build;
ALTER TABLE notes ALTER COLUMN topic SET NOT NULL;
ALTER TABLE notes ADD UNIQUE (target, topic);
DROP INDEX notes_due;
CREATE INDEX notes_due ON notes (target, next_try) WHERE state = 'due';
CREATE INDEX notes_build ON notes (build);

-- The patchsets of changes, to know the newest.
CREATE TABLE patchsets (
    change   TEXT   COLLATE "C" NOT NULL,
    project  TEXT   COLLATE "C" NOT NULL,
    patchset TEXT   COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL, -- 0 where patchsets have no numbers: then the one seen last is newest
    seen_at  BIGINT NOT NULL,
    PRIMARY KEY (change, project, patchset)
);
ALTER TABLE builds ADD COLUMN patchset TEXT COLLATE "C";
UPDATE builds SET patchset = CAST(meta AS JSON) ->> 'patchset';
CREATE INDEX builds_patchset ON builds (change, patchset) WHERE change IS NOT NULL;
