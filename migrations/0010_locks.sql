-- Checks that asked a store whether it guards what is locked, by the words that
-- queries repeat: where it guards nothing there are none, of however many
-- checks.

CREATE INDEX checks_locks ON checks (repository, region, id)
	WHERE instr(details, '"object_lock"') > 0;
