-- How far the journal has been judged, and of which journal that is the position.
CREATE TABLE cursor (journal TEXT NOT NULL, position INTEGER NOT NULL);

-- What tells this file from another one, of which the hub may have heard before.
CREATE TABLE source (id TEXT NOT NULL);

-- How each rule stands with each series, or with each device (negative): Kept of the engine, in
-- JSON. "mark" says of which wording of the rule.
CREATE TABLE watch (
    rule TEXT NOT NULL,
    subject INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    kept BLOB NOT NULL,
    PRIMARY KEY (rule, subject)
) WITHOUT ROWID;

-- Alerts; those with "ended" are over. Times in UTC µs. "due" is when people are told again.
CREATE TABLE alert (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rule TEXT NOT NULL,
    subject INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    device TEXT NOT NULL,
    metric TEXT NOT NULL,
    unit TEXT NOT NULL,
    severity TEXT NOT NULL,
    state TEXT NOT NULL,
    began INTEGER NOT NULL,
    noticed INTEGER NOT NULL,
    ended INTEGER,
    value TEXT NOT NULL,
    limits TEXT NOT NULL,
    text TEXT NOT NULL,
    notify TEXT NOT NULL,
    acknowledged INTEGER,
    acknowledged_by TEXT NOT NULL DEFAULT '',
    snoozed INTEGER,
    due INTEGER,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX alert_open ON alert (rule, subject) WHERE ended IS NULL;
CREATE INDEX alert_over ON alert (ended) WHERE ended IS NOT NULL;

-- What people are told, for each channel. state: 0 waits until "due", 1 was delivered, 2 was
-- given up. Those of one "batch" go out together, under that key. "held" says what they wait for.
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    alert INTEGER NOT NULL,
    device_id INTEGER NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    held TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    batch TEXT NOT NULL DEFAULT '',
    body BLOB NOT NULL
);
CREATE INDEX message_due ON message (channel, due, id) WHERE state = 0;
CREATE INDEX message_over ON message (ended) WHERE state > 0;
CREATE INDEX message_alert ON message (alert) WHERE state = 0;

-- What the hub is still to be told of, for the journal.
CREATE TABLE news (number INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);

-- Through whom people are told; counts since it is known.
CREATE TABLE channel (
    name TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    given_up INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    last_success INTEGER,
    last_failure INTEGER,
    trouble TEXT
);
