-- Files of readings that were moved out of this database, and what each has of which series.
CREATE TABLE archive_file (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    count INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL
);
CREATE TABLE archive_part (
    series INTEGER NOT NULL,
    file INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (series, file)
) WITHOUT ROWID;
