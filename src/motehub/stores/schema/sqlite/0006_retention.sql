-- Of which series something was deleted because of its age: readings before "raw", minutes before
-- "minute" and so on. It has been summed up in the next tier before.
CREATE TABLE reading_kept (
    series INTEGER PRIMARY KEY,
    raw INTEGER NOT NULL,
    minute INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    day INTEGER NOT NULL
);
CREATE INDEX reading_kept_raw ON reading_kept (raw);
