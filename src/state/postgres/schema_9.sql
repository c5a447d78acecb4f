-- What is due is said in the order in which it was made, a few at a time: all that waits is not sorted for each.
CREATE INDEX notes_order ON notes (target, created_at, id, next_try) WHERE state = 'due';
DROP INDEX notes_due;
