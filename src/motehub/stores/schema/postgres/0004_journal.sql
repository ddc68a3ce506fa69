-- The journal of which the cursor speaks: empty until a hub has begun to write here.
ALTER TABLE cursor ADD COLUMN journal text NOT NULL DEFAULT '';
