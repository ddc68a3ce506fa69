-- How far each report has been sent: up to what was due at "mark" (UTC µs), by the schedule
-- "timing". "until" is where the last one ended, "ordered" the last order that was carried out.
-- "ran" is when it was made or tried last, "result" what came of it, "ok" whether that was well.
CREATE TABLE schedule (
    report TEXT PRIMARY KEY,
    timing TEXT NOT NULL,
    mark INTEGER NOT NULL,
    until INTEGER,
    ordered INTEGER NOT NULL DEFAULT 0,
    ran INTEGER,
    result TEXT NOT NULL DEFAULT '',
    ok INTEGER NOT NULL DEFAULT 1
);

-- What letters say, once for all recipients: Document of the letter book, in MessagePack.
CREATE TABLE document (id INTEGER PRIMARY KEY AUTOINCREMENT, report TEXT NOT NULL, body BLOB NOT NULL);

-- A letter to one recipient. state: 0 waits until "due", 1 was delivered, 2 was given up. It goes
-- out under "key" however often it is tried.
CREATE TABLE letter (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    report TEXT NOT NULL,
    recipient TEXT NOT NULL,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    ended INTEGER,
    trouble TEXT
);
CREATE INDEX letter_due ON letter (due, id) WHERE state = 0;
CREATE INDEX letter_document ON letter (document) WHERE state = 0;
CREATE INDEX letter_report ON letter (report, id);
