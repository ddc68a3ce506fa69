-- Readings summed up by minute, hour and day of UTC; the mean is total / count. The total is NULL
-- where it would be too large a number.
CREATE TABLE reading_minute (
    series bigint NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    low double precision NOT NULL,
    high double precision NOT NULL,
    total double precision,
    last_time bigint NOT NULL,
    last double precision NOT NULL,
    PRIMARY KEY (series, start)
) WITH (fillfactor = 70);

CREATE TABLE reading_hour (
    series bigint NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    low double precision NOT NULL,
    high double precision NOT NULL,
    total double precision,
    last_time bigint NOT NULL,
    last double precision NOT NULL,
    PRIMARY KEY (series, start)
) WITH (fillfactor = 70);

CREATE TABLE reading_day (
    series bigint NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    low double precision NOT NULL,
    high double precision NOT NULL,
    total double precision,
    last_time bigint NOT NULL,
    last double precision NOT NULL,
    PRIMARY KEY (series, start)
) WITH (fillfactor = 70);

-- Series of which rollups are still to be made, from a midnight on: readings from there on are in
-- no rollup until then.
CREATE TABLE reading_unrolled (
    series bigint PRIMARY KEY,
    since bigint NOT NULL
);
INSERT INTO reading_unrolled
SELECT id, -9223372036854775807 FROM series WHERE kind = 'gauge';
