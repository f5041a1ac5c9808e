-- A region may keep by a policy of its own: what a change lets go of there is a
-- list of its own.  NULL or '': of all regions that keep by the schedules'
-- policies.

ALTER TABLE shortenings ADD COLUMN region TEXT;
