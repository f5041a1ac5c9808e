-- Reports on one source, whose repository nobody names: without these they
-- walk the snapshots and decisions of all sources.

CREATE INDEX snapshots_of_source
	ON snapshots (source, received_us DESC, snapshot);
CREATE INDEX decisions_of_source ON decisions (source, first);
