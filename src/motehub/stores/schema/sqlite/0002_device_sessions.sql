-- Records of a session that was over are counted by themselves:
-- received = stored + duplicate + rejected + discarded + waiting.
ALTER TABLE device ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;

-- 1 and 0; NULL for a device that does not say when it comes and goes.
ALTER TABLE device ADD COLUMN online INTEGER CHECK (online IN (0, 1));
