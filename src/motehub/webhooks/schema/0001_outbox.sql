-- How far the journal has been taken over, and of which journal that is the position.
CREATE TABLE cursor (journal TEXT NOT NULL, position INTEGER NOT NULL);

-- Where messages go, as the owner calls it; counts since it is known.
CREATE TABLE endpoint (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    address TEXT NOT NULL,
    kind TEXT NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    given_up INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    replaced INTEGER NOT NULL DEFAULT 0,
    last_success INTEGER,
    last_failure INTEGER,
    trouble TEXT
);

-- state: 0 waits until "due", 1 was delivered, 2 was given up. Ids ascend in the order of the
-- journal. Of one lane only the first that waits may be sent, where the endpoint keeps an order.
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint INTEGER NOT NULL REFERENCES endpoint ON DELETE CASCADE,
    key TEXT NOT NULL,
    type TEXT NOT NULL,
    lane TEXT NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    body BLOB NOT NULL
);
CREATE INDEX message_due ON message (endpoint, due, id) WHERE state = 0;
CREATE INDEX message_lane ON message (endpoint, lane, id) WHERE state = 0;
CREATE INDEX message_over ON message (endpoint, state, ended) WHERE state > 0;
CREATE INDEX message_key ON message (key);

-- What came of the newest attempts.
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    endpoint INTEGER NOT NULL REFERENCES endpoint ON DELETE CASCADE,
    key TEXT NOT NULL,
    type TEXT NOT NULL,
    number INTEGER NOT NULL,
    status INTEGER,
    outcome TEXT NOT NULL,
    milliseconds INTEGER NOT NULL
);
