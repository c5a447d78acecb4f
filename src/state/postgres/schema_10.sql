-- Notes on older patchsets of a change are looked for with each verdict, whoever heard them.
CREATE INDEX notes_topic ON notes (topic);
