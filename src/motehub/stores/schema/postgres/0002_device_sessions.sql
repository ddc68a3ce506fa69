-- Records of a session that was over are counted by themselves:
-- received = stored + duplicate + rejected + discarded + waiting.
ALTER TABLE device ADD COLUMN discarded bigint NOT NULL DEFAULT 0;

-- 1 and 0, as in SQLite; NULL for a device that does not say when it comes and goes.
ALTER TABLE device ADD COLUMN online smallint CHECK (online IN (0, 1));
