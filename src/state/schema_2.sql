-- Counts what was said of a build and its logs: a verdict is of one number, and holds for no other.
ALTER TABLE builds ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
-- The receivers (by name) that have taken the note already, as JSON.
ALTER TABLE notes ADD COLUMN taken TEXT NOT NULL DEFAULT '[]';
-- Finds verdicts of other fingerprint sets without reading the builds.
CREATE INDEX builds_rules ON builds (rules_version, at, id) WHERE waiting = 0;
