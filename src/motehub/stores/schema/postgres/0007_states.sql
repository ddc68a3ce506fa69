-- States summed up: readings of texts, and numbers without a unit that are only 0 and 1. Each row
-- is about what lies between its first and its last reading; "durations" are pairs of a state and
-- how long it lasted (µs) in JSON, null is all states that are not named.
CREATE TABLE state_minute (
    series bigint NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    changes bigint NOT NULL,
    first_time bigint NOT NULL,
    first text NOT NULL,
    last_time bigint NOT NULL,
    last text NOT NULL,
    durations text NOT NULL,
    PRIMARY KEY (series, start)
) WITH (fillfactor = 70);

CREATE TABLE state_hour (
    series bigint NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    changes bigint NOT NULL,
    first_time bigint NOT NULL,
    first text NOT NULL,
    last_time bigint NOT NULL,
    last text NOT NULL,
    durations text NOT NULL,
    PRIMARY KEY (series, start)
) WITH (fillfactor = 70);

CREATE TABLE state_day (
    series bigint NOT NULL,
    start bigint NOT NULL,
    count bigint NOT NULL,
    changes bigint NOT NULL,
    first_time bigint NOT NULL,
    first text NOT NULL,
    last_time bigint NOT NULL,
    last text NOT NULL,
    durations text NOT NULL,
    PRIMARY KEY (series, start)
) WITH (fillfactor = 70);

-- Series of numbers that have no unit, and have never been anything but 0 and 1.
CREATE TABLE state_number (
    series bigint PRIMARY KEY
);
INSERT INTO state_number SELECT id FROM series WHERE kind = 'gauge' AND unit = '';

-- Their states are still to be summed up; with them their numbers are again.
INSERT INTO reading_unrolled
SELECT id, coalesce((raw + 86399999999) / 86400000000 * 86400000000, -9223372036854775807)
FROM series LEFT JOIN reading_kept ON reading_kept.series = series.id
WHERE kind = 'text' OR unit = ''
ON CONFLICT DO NOTHING;
