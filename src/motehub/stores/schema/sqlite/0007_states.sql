-- States summed up: readings of texts, and numbers without a unit that are only 0 and 1. Each row
-- is about what lies between its first and its last reading; "durations" are pairs of a state and
-- how long it lasted (µs) in JSON, null is all states that are not named.
CREATE TABLE state_minute (
    series INTEGER NOT NULL,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    first TEXT NOT NULL,
    last_time INTEGER NOT NULL,
    last TEXT NOT NULL,
    durations TEXT NOT NULL,
    PRIMARY KEY (series, start)
) WITHOUT ROWID;

CREATE TABLE state_hour (
    series INTEGER NOT NULL,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    first TEXT NOT NULL,
    last_time INTEGER NOT NULL,
    last TEXT NOT NULL,
    durations TEXT NOT NULL,
    PRIMARY KEY (series, start)
) WITHOUT ROWID;

CREATE TABLE state_day (
    series INTEGER NOT NULL,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    first_time INTEGER NOT NULL,
    first TEXT NOT NULL,
    last_time INTEGER NOT NULL,
    last TEXT NOT NULL,
    durations TEXT NOT NULL,
    PRIMARY KEY (series, start)
) WITHOUT ROWID;

-- Series of numbers that have no unit, and have never been anything but 0 and 1.
CREATE TABLE state_number (
    series INTEGER PRIMARY KEY
);
INSERT INTO state_number SELECT id FROM series WHERE kind = 'gauge' AND unit = '';

-- Their states are still to be summed up; with them their numbers are again.
INSERT OR IGNORE INTO reading_unrolled
SELECT id, coalesce((raw + 86399999999) / 86400000000 * 86400000000, -9223372036854775807)
FROM series LEFT JOIN reading_kept ON reading_kept.series = series.id
WHERE kind = 'text' OR unit = '';
