-- What of each device came in which hour, as counted in its row of "device"; "start" is when an
-- hour of the hub's zone began.
CREATE TABLE device_hour (
    device INTEGER NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    start INTEGER NOT NULL,
    received INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    duplicate INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    discarded INTEGER NOT NULL,
    PRIMARY KEY (device, start)
) WITHOUT ROWID;

-- When the hub was not there.
CREATE TABLE hub_away (
    since INTEGER PRIMARY KEY,
    until INTEGER NOT NULL
);

-- The newest reading of series of which not every one is stored, where it was not.
CREATE TABLE spared_newest (
    series INTEGER PRIMARY KEY REFERENCES series (id) ON DELETE CASCADE,
    time INTEGER NOT NULL,
    value REAL NOT NULL
);
