-- How often a fingerprint was found in the last seven days is asked with each verdict.
CREATE INDEX match_counts_of ON match_counts (fingerprint, start, failed);
CREATE INDEX match_news_of ON match_news (fingerprint, hour, failed);
