-- What tells this journal from any other: a cursor is good in the one that it was made for.
CREATE TABLE journal (id TEXT NOT NULL);
INSERT INTO journal VALUES (lower(hex(randomblob(8))));
