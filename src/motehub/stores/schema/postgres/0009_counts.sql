-- What of each device came in which hour, as counted in its row of "device"; "start" is when an
-- hour of the hub's zone began.
CREATE TABLE device_hour (
    device bigint NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    start bigint NOT NULL,
    received bigint NOT NULL,
    stored bigint NOT NULL,
    duplicate bigint NOT NULL,
    rejected bigint NOT NULL,
    discarded bigint NOT NULL,
    PRIMARY KEY (device, start)
);

-- When the hub was not there.
CREATE TABLE hub_away (
    since bigint PRIMARY KEY,
    until bigint NOT NULL
);

-- The newest reading of series of which not every one is stored, where it was not.
CREATE TABLE spared_newest (
    series bigint PRIMARY KEY REFERENCES series (id) ON DELETE CASCADE,
    time bigint NOT NULL,
    value double precision NOT NULL
);
