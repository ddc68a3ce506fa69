-- Hours and days are made of minutes when these are over, not with each reading. Of series up to
-- "series" that is done before "next", of all others before "until"; readings that come later than
-- that are added to all three. There is no row before it was done for the first time.
CREATE TABLE reading_settled (
    until INTEGER PRIMARY KEY,
    next INTEGER NOT NULL,
    series INTEGER NOT NULL
);
-- Until now each reading was added to all three.
INSERT INTO reading_settled
SELECT today, today, 0 FROM (SELECT unixepoch() / 86400 * 86400000000 AS today)
WHERE EXISTS (SELECT 1 FROM reading_hour);
DELETE FROM reading_hour WHERE start >= (SELECT until FROM reading_settled);
DELETE FROM reading_day WHERE start >= (SELECT until FROM reading_settled);
