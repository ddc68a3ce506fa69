-- Readings summed up by minute, hour and day of UTC; the mean is total / count. The total is NULL
-- where it would be too large a number.
CREATE TABLE reading_minute (
    series INTEGER NOT NULL,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    total REAL,
    last_time INTEGER NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (series, start)
) WITHOUT ROWID;

CREATE TABLE reading_hour (
    series INTEGER NOT NULL,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    total REAL,
    last_time INTEGER NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (series, start)
) WITHOUT ROWID;

CREATE TABLE reading_day (
    series INTEGER NOT NULL,
    start INTEGER NOT NULL,
    count INTEGER NOT NULL,
    low REAL NOT NULL,
    high REAL NOT NULL,
    total REAL,
    last_time INTEGER NOT NULL,
    last REAL NOT NULL,
    PRIMARY KEY (series, start)
) WITHOUT ROWID;

-- Series of which rollups are still to be made, from a midnight on: readings from there on are in
-- no rollup until then.
CREATE TABLE reading_unrolled (
    series INTEGER PRIMARY KEY,
    since INTEGER NOT NULL
);
INSERT INTO reading_unrolled
SELECT id, -9223372036854775807 FROM series WHERE kind = 'gauge';
