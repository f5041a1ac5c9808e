-- What the last garbage collection of a region came to, in one look-up: it is
-- the row of the step "gc" for that region, among the steps of all runs.

CREATE INDEX run_steps_gc ON run_steps (region, finished_us, id)
	WHERE step = 'gc';
