-- Counts by hour and by day, so that a report does not count all builds again. Whatever changes what is
-- counted says so in `build_news` or `match_news`, in its own transaction (the triggers below); nobody
-- waits for another one for that. Now and then the news are added to the counts (`counts.rs`). At every
-- time, counts and news together are what a plain count gives.
CREATE TABLE build_news (
    id       INTEGER PRIMARY KEY,
    hour     INTEGER NOT NULL,           -- its start
    verdict  TEXT    NOT NULL,
    project  TEXT,
    pipeline TEXT,
    job      TEXT,
    branch   TEXT,
    builds   INTEGER NOT NULL,           -- failed builds that came, or went (-1)
    taken    INTEGER NOT NULL DEFAULT 0  -- 1 while it is added to the counts
) STRICT;
CREATE TABLE build_counts (
    width   INTEGER NOT NULL,  -- an hour or a day
    start   INTEGER NOT NULL,
    kind    INTEGER NOT NULL,  -- 0 all, 1 project, 2 pipeline, 3 job, 4 branch; -1 to -4: it is not said
    name    TEXT    NOT NULL,
    verdict TEXT    NOT NULL,
    builds  INTEGER NOT NULL,  -- failed ones
    PRIMARY KEY (width, kind, start, name, verdict)
) STRICT, WITHOUT ROWID;
CREATE INDEX build_counts_none ON build_counts (width) WHERE builds = 0;

CREATE TABLE match_news (
    id          INTEGER PRIMARY KEY,
    hour        INTEGER NOT NULL,
    fingerprint TEXT    NOT NULL,
    failed      INTEGER NOT NULL,  -- failed builds
    passed      INTEGER NOT NULL,  -- all others
    hits        INTEGER NOT NULL,  -- in failed builds
    taken       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE match_counts (
    start       INTEGER NOT NULL,  -- of the hour
    fingerprint TEXT    NOT NULL,
    failed      INTEGER NOT NULL,
    passed      INTEGER NOT NULL,
    hits        INTEGER NOT NULL,
    PRIMARY KEY (start, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE INDEX match_counts_none ON match_counts (start) WHERE failed = 0 AND passed = 0;

-- Its row is locked by who adds news to the counts.
CREATE TABLE count_lock (one INTEGER PRIMARY KEY) STRICT;
INSERT INTO count_lock VALUES (1);

-- The parts of hours at the ends of a window, and the first and last build of a fingerprint.
DROP INDEX matches_count;
CREATE INDEX matches_at ON matches (at, fingerprint, failed, hits);
CREATE INDEX matches_seen ON matches (fingerprint, failed, at);

CREATE TRIGGER builds_came AFTER INSERT ON builds WHEN new.failed = 1 BEGIN
    INSERT INTO build_news (hour, verdict, project, pipeline, job, branch, builds)
    VALUES (new.at - (new.at % 3600000000 + 3600000000) % 3600000000, new.verdict, new.project,
            new.pipeline, new.job, new.branch, 1);
END;
CREATE TRIGGER builds_went AFTER DELETE ON builds WHEN old.failed = 1 BEGIN
    INSERT INTO build_news (hour, verdict, project, pipeline, job, branch, builds)
    VALUES (old.at - (old.at % 3600000000 + 3600000000) % 3600000000, old.verdict, old.project,
            old.pipeline, old.job, old.branch, -1);
END;
CREATE TRIGGER builds_changed
AFTER UPDATE OF verdict, failed, at, project, pipeline, job, branch ON builds
WHEN (old.failed = 1 OR new.failed = 1) AND (old.verdict IS NOT new.verdict
    OR old.failed IS NOT new.failed OR old.at IS NOT new.at OR old.project IS NOT new.project
    OR old.pipeline IS NOT new.pipeline OR old.job IS NOT new.job OR old.branch IS NOT new.branch)
BEGIN
    INSERT INTO build_news (hour, verdict, project, pipeline, job, branch, builds)
    SELECT old.at - (old.at % 3600000000 + 3600000000) % 3600000000, old.verdict, old.project,
           old.pipeline, old.job, old.branch, -1 WHERE old.failed = 1;
    INSERT INTO build_news (hour, verdict, project, pipeline, job, branch, builds)
    SELECT new.at - (new.at % 3600000000 + 3600000000) % 3600000000, new.verdict, new.project,
           new.pipeline, new.job, new.branch, 1 WHERE new.failed = 1;
END;

CREATE TRIGGER matches_came AFTER INSERT ON matches BEGIN
    INSERT INTO match_news (hour, fingerprint, failed, passed, hits)
    VALUES (new.at - (new.at % 3600000000 + 3600000000) % 3600000000, new.fingerprint,
            new.failed, 1 - new.failed, new.failed * new.hits);
END;
CREATE TRIGGER matches_went AFTER DELETE ON matches BEGIN
    INSERT INTO match_news (hour, fingerprint, failed, passed, hits)
    VALUES (old.at - (old.at % 3600000000 + 3600000000) % 3600000000, old.fingerprint,
            - old.failed, old.failed - 1, - old.failed * old.hits);
END;
CREATE TRIGGER matches_changed AFTER UPDATE OF fingerprint, at, failed, hits ON matches
WHEN old.fingerprint IS NOT new.fingerprint OR old.at IS NOT new.at
    OR old.failed IS NOT new.failed OR old.hits IS NOT new.hits
BEGIN
    INSERT INTO match_news (hour, fingerprint, failed, passed, hits)
    VALUES (old.at - (old.at % 3600000000 + 3600000000) % 3600000000, old.fingerprint,
            - old.failed, old.failed - 1, - old.failed * old.hits),
           (new.at - (new.at % 3600000000 + 3600000000) % 3600000000, new.fingerprint,
            new.failed, 1 - new.failed, new.failed * new.hits);
END;

-- What is there already.
INSERT INTO build_counts
WITH split (hour, kind, name, verdict, builds) AS (
    SELECT at - (at % 3600000000 + 3600000000) % 3600000000, 0, '', verdict, count(*)
    FROM builds WHERE failed = 1 GROUP BY 1, verdict
    UNION ALL
    SELECT at - (at % 3600000000 + 3600000000) % 3600000000,
           CASE WHEN project IS NULL THEN -1 ELSE 1 END, coalesce(project, ''), verdict, count(*)
    FROM builds WHERE failed = 1 GROUP BY 1, project, verdict
    UNION ALL
    SELECT at - (at % 3600000000 + 3600000000) % 3600000000,
           CASE WHEN pipeline IS NULL THEN -2 ELSE 2 END, coalesce(pipeline, ''), verdict, count(*)
    FROM builds WHERE failed = 1 GROUP BY 1, pipeline, verdict
    UNION ALL
    SELECT at - (at % 3600000000 + 3600000000) % 3600000000,
           CASE WHEN job IS NULL THEN -3 ELSE 3 END, coalesce(job, ''), verdict, count(*)
    FROM builds WHERE failed = 1 GROUP BY 1, job, verdict
    UNION ALL
    SELECT at - (at % 3600000000 + 3600000000) % 3600000000,
           CASE WHEN branch IS NULL THEN -4 ELSE 4 END, coalesce(branch, ''), verdict, count(*)
    FROM builds WHERE failed = 1 GROUP BY 1, branch, verdict
)
SELECT 3600000000, hour, kind, name, verdict, builds FROM split;
INSERT INTO build_counts
SELECT 86400000000, start - (start % 86400000000 + 86400000000) % 86400000000, kind, name, verdict,
       sum(builds)
FROM build_counts GROUP BY 2, kind, name, verdict;
INSERT INTO match_counts
SELECT at - (at % 3600000000 + 3600000000) % 3600000000, fingerprint, sum(failed),
       sum(1 - failed), sum(failed * hits)
FROM matches GROUP BY 1, fingerprint;
