-- When the journal was judged up to that position (UTC µs), 0 where that is not known: until the
-- next start nobody listens, so it is not silence.
ALTER TABLE cursor ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
