-- Times are UTC microseconds since 1970; values are in the unit of their series.

-- The journal position up to which everything is in this database.
CREATE TABLE cursor (
    consumer text PRIMARY KEY,
    position bigint NOT NULL
);
INSERT INTO cursor VALUES ('history', 0);

CREATE TABLE device (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    dialect text NOT NULL,
    admission text NOT NULL CHECK (admission IN ('pending', 'accepted', 'blocked')),
    first_seen bigint NOT NULL,
    last_seen bigint NOT NULL,
    -- Readings and records of this device: received = stored + duplicate + rejected + waiting,
    -- where waiting is what lies in held_reading and held_text.
    received bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0
);

CREATE TABLE identity (
    identity text PRIMARY KEY,
    device bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE
);
CREATE INDEX identity_device ON identity (device);

CREATE TABLE series (
    id bigint PRIMARY KEY,
    device bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    metric text NOT NULL,
    unit text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('gauge', 'text')),
    UNIQUE (device, metric, kind)
);

-- A partition a month is made by the writer when the first reading of that month comes. What
-- clocks can't mean has two partitions of its own, so their number is bounded.
CREATE TABLE reading (
    series bigint NOT NULL,
    time bigint NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (series, time)
) PARTITION BY RANGE (time);
CREATE TABLE reading_before_2000 PARTITION OF reading
    FOR VALUES FROM (MINVALUE) TO (946684800000000);
CREATE TABLE reading_from_2100 PARTITION OF reading
    FOR VALUES FROM (4102444800000000) TO (MAXVALUE);

-- The readings of series whose values are text.
CREATE TABLE text_reading (
    series bigint NOT NULL,
    time bigint NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (series, time)
);

CREATE TABLE held_text (
    series bigint NOT NULL,
    time bigint NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (series, time)
);

-- Readings of devices that wait for the owner's approval, like held_text.
CREATE TABLE held_reading (
    series bigint NOT NULL,
    time bigint NOT NULL,
    value double precision NOT NULL,
    PRIMARY KEY (series, time)
);

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    time bigint NOT NULL,
    kind text NOT NULL,
    text text NOT NULL
);
CREATE INDEX event_device ON event (device, id);

CREATE TABLE rejected (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device bigint REFERENCES device (id) ON DELETE CASCADE,
    source text NOT NULL,
    time bigint NOT NULL,
    reason text NOT NULL,
    payload bytea NOT NULL,
    count bigint NOT NULL
);
CREATE INDEX rejected_device ON rejected (device, id);

-- Readings of temperature and relative humidity that a device took at the same moment.
CREATE VIEW climate (device, time, temperature, relative_humidity) AS
SELECT warm_series.device, warm.time, warm.value, humid.value
FROM series AS warm_series
JOIN series AS humid_series
    ON humid_series.device = warm_series.device AND humid_series.metric = 'relative_humidity'
        AND humid_series.kind = 'gauge'
JOIN reading AS warm ON warm.series = warm_series.id
JOIN reading AS humid ON humid.series = humid_series.id AND humid.time = warm.time
WHERE warm_series.metric = 'temperature' AND warm_series.kind = 'gauge';

-- What the original viewer reads by position: unix seconds, humidity in %, temperature in °C.
CREATE VIEW sensor_data (timestamp, humidity, temperature) AS
SELECT time / 1000000, relative_humidity, temperature FROM climate ORDER BY 1;

-- What programs of the original HTTP system read: temperature in °F, as its devices sent it.
CREATE VIEW home_data (location, timestamp, temperature, humidity) AS
SELECT
    device.name,
    timestamptz 'epoch' + climate.time * interval '1 microsecond',
    climate.temperature * 9 / 5 + 32,
    climate.relative_humidity
FROM climate
JOIN device ON device.id = climate.device
ORDER BY 2;
