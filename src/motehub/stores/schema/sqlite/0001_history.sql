-- Times are UTC microseconds since 1970; values are in the unit of their series.

-- The journal position up to which everything is in this file.
CREATE TABLE cursor (
    consumer TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO cursor VALUES ('history', 0);

CREATE TABLE device (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    dialect TEXT NOT NULL,
    admission TEXT NOT NULL CHECK (admission IN ('pending', 'accepted', 'blocked')),
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    -- Readings and records of this device: received = stored + duplicate + rejected + waiting,
    -- where waiting is what lies in held_reading and held_text.
    received INTEGER NOT NULL DEFAULT 0,
    stored INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE identity (
    identity TEXT PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX identity_device ON identity (device);

CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    metric TEXT NOT NULL,
    unit TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('gauge', 'text')),
    UNIQUE (device, metric, kind)
);

CREATE TABLE reading (
    series INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;

-- The readings of series whose values are text.
CREATE TABLE text (
    series INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;

CREATE TABLE held_text (
    series INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;

-- Readings of devices that wait for the owner's approval, like held_text.
CREATE TABLE held_reading (
    series INTEGER NOT NULL,
    time INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (series, time)
) WITHOUT ROWID;

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE INDEX event_device ON event (device);

CREATE TABLE rejected (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device INTEGER REFERENCES device (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    time INTEGER NOT NULL,
    reason TEXT NOT NULL,
    payload BLOB NOT NULL,
    count INTEGER NOT NULL
);
CREATE INDEX rejected_device ON rejected (device);

-- What the original viewer reads by position: unix seconds, humidity in %, temperature in °C.
CREATE VIEW sensor_data (timestamp, humidity, temperature) AS
SELECT warm.time / 1000000, humid.value, warm.value
FROM series AS warm_series
JOIN series AS humid_series
    ON humid_series.device = warm_series.device AND humid_series.metric = 'relative_humidity'
        AND humid_series.kind = 'gauge'
JOIN reading AS warm ON warm.series = warm_series.id
JOIN reading AS humid ON humid.series = humid_series.id AND humid.time = warm.time
WHERE warm_series.metric = 'temperature' AND warm_series.kind = 'gauge'
ORDER BY 1;

-- What programs of the original HTTP system read: location, time in ISO 8601 (UTC), temperature
-- in °F as its devices sent it, humidity in %.
CREATE VIEW home_data (location, timestamp, temperature, humidity) AS
SELECT
    device.name,
    strftime('%Y-%m-%dT%H:%M:%SZ', warm.time / 1000000, 'unixepoch'),
    warm.value * 9 / 5 + 32,
    humid.value
FROM series AS warm_series
JOIN device ON device.id = warm_series.device
JOIN series AS humid_series
    ON humid_series.device = warm_series.device AND humid_series.metric = 'relative_humidity'
        AND humid_series.kind = 'gauge'
JOIN reading AS warm ON warm.series = warm_series.id
JOIN reading AS humid ON humid.series = humid_series.id AND humid.time = warm.time
WHERE warm_series.metric = 'temperature' AND warm_series.kind = 'gauge'
ORDER BY 2;
