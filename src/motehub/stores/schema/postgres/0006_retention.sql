-- Of which series something was deleted because of its age: readings before "raw", minutes before
-- "minute" and so on. It has been summed up in the next tier before.
CREATE TABLE reading_kept (
    series bigint PRIMARY KEY,
    raw bigint NOT NULL,
    minute bigint NOT NULL,
    hour bigint NOT NULL,
    day bigint NOT NULL
);
CREATE INDEX reading_kept_raw ON reading_kept (raw);
