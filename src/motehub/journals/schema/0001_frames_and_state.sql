-- A frame is what one commit wrote; positions have no gaps. Times are UTC microseconds.
CREATE TABLE frame (
    position INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- The newest value of every key: the registry survives the trimming of frames.
CREATE TABLE state (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
