-- Files of readings that were moved out of this database, and what each has of which series.
CREATE TABLE archive_file (
    id bigint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    since bigint NOT NULL,
    until bigint NOT NULL,
    count bigint NOT NULL,
    size bigint NOT NULL,
    checksum text NOT NULL
);
CREATE TABLE archive_part (
    series bigint NOT NULL,
    file bigint NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (series, file)
);
