-- Snapshots that an attempt began and that nobody acknowledged, by region: few,
-- however many runs there were.  They are looked through for those that were
-- taken twice, the newest by every run, and all of them in turn.

CREATE INDEX run_steps_open ON run_steps (region, id)
	WHERE step = 'snapshot' AND state = 'running' AND region <> '';

-- How far that turn has come: below this step is what follows.
--
-- Not for export: a catalog that lost it begins anew.

CREATE TABLE double_looks (
	repository TEXT NOT NULL,
	region TEXT NOT NULL,
	before INTEGER NOT NULL,
	PRIMARY KEY (repository, region)
) STRICT, WITHOUT ROWID;
