-- The catalog's first shape.
--
-- Times are microseconds since 1970 UTC in columns named _us; NULL is "not
-- yet".  JSON is canonical text.  Kinds and states are words, so that the
-- file reads well in any SQLite shell at three in the morning.
--
-- What a repository must be able to give back after the catalog is lost is
-- noted in `changes` by triggers: one row for each row that is new or has
-- changed since it was last exported (repository '': every repository).

CREATE TABLE identity (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	uid TEXT NOT NULL
) STRICT;

INSERT INTO identity VALUES (1, lower(hex(randomblob(16))));

-- Resources ------------------------------------------------------------------

CREATE TABLE resources (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	uid TEXT NOT NULL UNIQUE,
	version INTEGER NOT NULL,
	created_us INTEGER NOT NULL,
	changed_us INTEGER NOT NULL,
	deleted_us INTEGER,
	labels TEXT NOT NULL,
	spec TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX resources_live ON resources (kind, name)
	WHERE deleted_us IS NULL;
CREATE INDEX resources_named ON resources (kind, name);

CREATE TABLE resource_labels (
	resource INTEGER NOT NULL REFERENCES resources ON DELETE CASCADE,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (resource, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_labels_value ON resource_labels (key, value, resource);

-- By name, not by id: a reference means whatever bears the name.
CREATE TABLE resource_refs (
	resource INTEGER NOT NULL REFERENCES resources ON DELETE CASCADE,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	PRIMARY KEY (resource, kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_refs_target ON resource_refs (kind, name, resource);

CREATE TABLE resource_versions (
	id INTEGER PRIMARY KEY,
	resource INTEGER NOT NULL REFERENCES resources,
	version INTEGER NOT NULL,
	deleted INTEGER NOT NULL,
	at_us INTEGER NOT NULL,
	actor_uid INTEGER NOT NULL,
	actor TEXT NOT NULL,
	labels TEXT NOT NULL,
	spec TEXT NOT NULL,
	refs TEXT NOT NULL,
	difference TEXT NOT NULL,
	UNIQUE (resource, version)
) STRICT;

-- The ledger -----------------------------------------------------------------

CREATE TABLE occurrences (
	id INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	schedule_uid TEXT NOT NULL,
	schedule TEXT NOT NULL,
	schedule_version INTEGER NOT NULL,
	repository TEXT NOT NULL,
	sources TEXT NOT NULL,
	at_us INTEGER NOT NULL,
	jittered_us INTEGER NOT NULL,
	noted_us INTEGER NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('due', 'running', 'succeeded',
		'partial', 'failed', 'missed', 'skipped', 'superseded')),
	reason TEXT NOT NULL,
	lateness_ms INTEGER NOT NULL,
	started_us INTEGER,
	finished_us INTEGER,
	UNIQUE (schedule_uid, at_us),
	CHECK ((state IN ('due', 'running')) = (finished_us IS NULL))
) STRICT;

CREATE INDEX occurrences_at ON occurrences (at_us, id);
CREATE INDEX occurrences_schedule ON occurrences (schedule, at_us, id);
CREATE INDEX occurrences_repository ON occurrences (repository, at_us, id);
CREATE INDEX occurrences_open ON occurrences (at_us, id)
	WHERE state IN ('due', 'running');

-- A final state is final, whatever a later program tries.
CREATE TRIGGER occurrences_final BEFORE UPDATE OF state ON occurrences
WHEN old.state NOT IN ('due', 'running') AND new.state <> old.state
BEGIN
	SELECT RAISE(ABORT, 'an occurrence that has ended stays as it ended');
END;

CREATE TABLE runs (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uid TEXT NOT NULL UNIQUE,
	occurrence INTEGER REFERENCES occurrences,
	kind TEXT NOT NULL,
	schedule_uid TEXT NOT NULL,
	schedule TEXT NOT NULL,
	repository TEXT NOT NULL,
	sources TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded',
		'partial', 'failed', 'cancelled', 'interrupted')),
	attempt INTEGER NOT NULL,
	queued_us INTEGER NOT NULL,
	not_before_us INTEGER,
	started_us INTEGER,
	finished_us INTEGER,
	next_retry_us INTEGER,
	cancel_asked_us INTEGER,
	host TEXT NOT NULL,
	boot_id TEXT NOT NULL,
	pid INTEGER NOT NULL,
	pid_start INTEGER NOT NULL,
	requested_by TEXT NOT NULL,
	message TEXT NOT NULL,
	UNIQUE (occurrence, attempt),
	CHECK ((state IN ('queued', 'running')) = (finished_us IS NULL))
) STRICT;

-- At most one attempt of an occurrence is alive.
CREATE UNIQUE INDEX runs_live_occurrence ON runs (occurrence)
	WHERE state IN ('queued', 'running') AND occurrence IS NOT NULL;
CREATE INDEX runs_live ON runs (state, repository, host)
	WHERE state IN ('queued', 'running');
CREATE INDEX runs_queued ON runs (queued_us, id);
CREATE INDEX runs_schedule ON runs (schedule, id);
CREATE INDEX runs_repository ON runs (repository, id);
CREATE INDEX runs_state ON runs (state, id);

CREATE TRIGGER runs_final BEFORE UPDATE OF state ON runs
WHEN old.state NOT IN ('queued', 'running') AND new.state <> old.state
BEGIN
	SELECT RAISE(ABORT, 'a run that has ended stays as it ended');
END;

CREATE TABLE run_sources (
	run INTEGER NOT NULL REFERENCES runs,
	source TEXT NOT NULL,
	PRIMARY KEY (source, run)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER run_sources_fill AFTER INSERT ON runs BEGIN
	INSERT INTO run_sources (run, source)
		SELECT DISTINCT new.id, value FROM json_each(new.sources)
		WHERE type = 'text';
END;

CREATE TABLE run_steps (
	id INTEGER PRIMARY KEY,
	run INTEGER NOT NULL REFERENCES runs,
	source TEXT NOT NULL,
	step TEXT NOT NULL,
	region TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'succeeded',
		'partial', 'failed', 'skipped')),
	started_us INTEGER,
	finished_us INTEGER,
	message TEXT NOT NULL,
	details TEXT NOT NULL,
	UNIQUE (run, source, step, region)
) STRICT;

CREATE TABLE accounts (
	schedule_uid TEXT PRIMARY KEY,
	accounted_us INTEGER NOT NULL,
	applied_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE clock (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	wall_us INTEGER NOT NULL,
	boot_ms INTEGER NOT NULL,
	boot_id TEXT NOT NULL,
	suspicious_us INTEGER,
	jump_ms INTEGER NOT NULL
) STRICT;

-- What is kept, where --------------------------------------------------------

CREATE TABLE snapshots (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	source TEXT NOT NULL,
	type TEXT NOT NULL,
	host TEXT NOT NULL,
	schedule TEXT NOT NULL,
	run INTEGER REFERENCES runs,
	state TEXT NOT NULL CHECK (state IN ('complete', 'partial')),
	parent TEXT NOT NULL,
	time_us INTEGER NOT NULL,
	received_us INTEGER NOT NULL,
	receipt TEXT NOT NULL,
	started_us INTEGER NOT NULL,
	finished_us INTEGER NOT NULL,
	lock_until_us INTEGER,
	deleted_us INTEGER,
	deleted_reason TEXT NOT NULL,
	purged_us INTEGER,
	paths TEXT NOT NULL,
	tags TEXT NOT NULL,
	files INTEGER NOT NULL,
	dirs INTEGER NOT NULL,
	errors INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	bytes_read INTEGER NOT NULL,
	bytes_new INTEGER NOT NULL,
	UNIQUE (repository, snapshot)
) STRICT;

CREATE INDEX snapshots_received ON snapshots (received_us DESC, snapshot);
CREATE INDEX snapshots_repository
	ON snapshots (repository, received_us DESC, snapshot);
CREATE INDEX snapshots_source
	ON snapshots (repository, source, received_us DESC, snapshot);
CREATE INDEX snapshots_live
	ON snapshots (repository, source, received_us DESC)
	WHERE deleted_us IS NULL AND purged_us IS NULL AND state = 'complete';
CREATE INDEX snapshots_run ON snapshots (run) WHERE run IS NOT NULL;

CREATE TABLE replicas (
	id INTEGER PRIMARY KEY,
	snapshot INTEGER NOT NULL REFERENCES snapshots,
	region TEXT NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'complete',
		'failed', 'gone')),
	completed_us INTEGER,
	oldest_verified_us INTEGER,
	bytes INTEGER NOT NULL,
	message TEXT NOT NULL,
	UNIQUE (snapshot, region)
) STRICT;

CREATE TABLE regions (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	region TEXT NOT NULL,
	url TEXT NOT NULL,
	is_primary INTEGER NOT NULL,
	seen_ok_us INTEGER,
	failed_us INTEGER,
	message TEXT NOT NULL,
	listed_us INTEGER,
	inventory TEXT NOT NULL,
	UNIQUE (repository, region)
) STRICT;

CREATE TABLE checks (
	id INTEGER PRIMARY KEY,
	uid TEXT NOT NULL UNIQUE,
	repository TEXT NOT NULL,
	region TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	run INTEGER REFERENCES runs,
	level TEXT NOT NULL CHECK (level IN ('listed', 'structure', 'data')),
	result TEXT NOT NULL CHECK (result IN ('sound', 'damaged', 'failed')),
	started_us INTEGER NOT NULL,
	finished_us INTEGER NOT NULL,
	objects INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	damaged INTEGER NOT NULL,
	details TEXT NOT NULL
) STRICT;

CREATE INDEX checks_region ON checks (repository, region, id);
CREATE INDEX checks_snapshot ON checks (repository, snapshot, id);
CREATE INDEX checks_run ON checks (run) WHERE run IS NOT NULL;

CREATE TABLE drills (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	uid TEXT NOT NULL UNIQUE,
	drill TEXT NOT NULL,
	schedule TEXT NOT NULL,
	repository TEXT NOT NULL,
	region TEXT NOT NULL,
	source TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	run INTEGER REFERENCES runs,
	started_us INTEGER NOT NULL,
	finished_us INTEGER,
	passed INTEGER NOT NULL,
	rto_ms INTEGER NOT NULL,
	rpo_ms INTEGER NOT NULL,
	rto_target_ms INTEGER NOT NULL,
	rpo_target_ms INTEGER NOT NULL,
	files INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	checks TEXT NOT NULL,
	evidence TEXT NOT NULL,
	message TEXT NOT NULL
) STRICT;

CREATE INDEX drills_name ON drills (drill, id);
CREATE INDEX drills_source ON drills (source, id);
CREATE INDEX drills_run ON drills (run) WHERE run IS NOT NULL;

-- Why ------------------------------------------------------------------------

-- Evaluations that saw the same share one row.
CREATE TABLE inputs (
	id INTEGER PRIMARY KEY,
	hash TEXT NOT NULL UNIQUE,
	body TEXT NOT NULL
) STRICT;

CREATE TABLE evaluations (
	id INTEGER PRIMARY KEY,
	uid TEXT NOT NULL UNIQUE,
	repository TEXT NOT NULL,
	source TEXT NOT NULL,
	region TEXT NOT NULL,
	policy TEXT NOT NULL,
	policy_uid TEXT NOT NULL,
	policy_version INTEGER NOT NULL,
	run INTEGER REFERENCES runs,
	now_us INTEGER NOT NULL,
	actor TEXT NOT NULL,
	inputs INTEGER NOT NULL REFERENCES inputs,
	summary TEXT NOT NULL
) STRICT;

CREATE INDEX evaluations_group ON evaluations (repository, source, region, id);
CREATE INDEX evaluations_policy ON evaluations (policy, id);
CREATE INDEX evaluations_run ON evaluations (run) WHERE run IS NOT NULL;
CREATE INDEX evaluations_inputs ON evaluations (inputs);

-- A decision holds from its first evaluation to its last: with a thousand
-- sources a row for each snapshot and day would be ten million rows a year,
-- nearly all of them saying what the day before said.
CREATE TABLE decisions (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	source TEXT NOT NULL,
	region TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	first INTEGER NOT NULL REFERENCES evaluations,
	last INTEGER NOT NULL REFERENCES evaluations,
	outcome TEXT NOT NULL,
	reasons TEXT NOT NULL,
	UNIQUE (repository, snapshot, source, region, first)
) STRICT;

CREATE INDEX decisions_group
	ON decisions (repository, source, region, last, first);
CREATE INDEX decisions_first ON decisions (first);
CREATE INDEX decisions_last ON decisions (last);

CREATE TABLE shortenings (
	id INTEGER PRIMARY KEY,
	uid TEXT NOT NULL UNIQUE,
	repository TEXT NOT NULL,
	source TEXT NOT NULL,
	policy TEXT NOT NULL,
	cause TEXT NOT NULL,
	actor TEXT NOT NULL,
	shown_us INTEGER NOT NULL,
	due_us INTEGER NOT NULL,
	state TEXT NOT NULL CHECK (state IN ('waiting', 'applied',
		'cancelled'))
) STRICT;

CREATE INDEX shortenings_due ON shortenings (due_us, id);
CREATE INDEX shortenings_waiting ON shortenings (repository, source)
	WHERE state = 'waiting';
CREATE INDEX shortenings_policy ON shortenings (policy, state);

CREATE TABLE shortening_snapshots (
	shortening INTEGER NOT NULL REFERENCES shortenings,
	snapshot TEXT NOT NULL,
	PRIMARY KEY (shortening, snapshot)
) STRICT, WITHOUT ROWID;

CREATE TABLE holds (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	hold TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	source TEXT NOT NULL,
	matter TEXT NOT NULL,
	custodian TEXT NOT NULL,
	placed_us INTEGER NOT NULL,
	released_us INTEGER,
	UNIQUE (repository, hold)
) STRICT;

-- Memory ---------------------------------------------------------------------

CREATE TABLE audit (
	id INTEGER PRIMARY KEY,
	chain TEXT NOT NULL,
	seq INTEGER NOT NULL,
	at_us INTEGER NOT NULL,
	actor_uid INTEGER NOT NULL,
	actor TEXT NOT NULL,
	action TEXT NOT NULL,
	object TEXT NOT NULL,
	details TEXT NOT NULL,
	prev TEXT NOT NULL,
	hash TEXT NOT NULL,
	UNIQUE (chain, seq)
) STRICT;

CREATE INDEX audit_at ON audit (at_us, id);
CREATE INDEX audit_object ON audit (object, at_us, id);

-- Against mistakes only; against intent there are the hashes.
CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN
	SELECT RAISE(ABORT, 'audit records are never deleted');
END;
CREATE TRIGGER audit_fixed BEFORE UPDATE ON audit BEGIN
	SELECT RAISE(ABORT, 'audit records are never changed');
END;

CREATE TABLE audit_heads (
	chain TEXT PRIMARY KEY,
	count INTEGER NOT NULL,
	hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
	repository TEXT PRIMARY KEY,
	number INTEGER NOT NULL,
	upto INTEGER NOT NULL,
	done_us INTEGER NOT NULL,
	chain TEXT NOT NULL,
	head_count INTEGER NOT NULL,
	head_hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE gaps (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	from_us INTEGER NOT NULL,
	to_us INTEGER NOT NULL,
	reason TEXT NOT NULL,
	UNIQUE (repository, from_us, to_us)
) STRICT;

-- AUTOINCREMENT: a number that was exported is never given again.
CREATE TABLE changes (
	seq INTEGER PRIMARY KEY AUTOINCREMENT,
	repository TEXT NOT NULL,
	kind TEXT NOT NULL,
	row INTEGER NOT NULL,
	UNIQUE (kind, row)
) STRICT;

CREATE INDEX changes_repository ON changes (repository, seq);

CREATE TRIGGER resource_versions_new AFTER INSERT ON resource_versions BEGIN
	DELETE FROM changes WHERE kind = 'version' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES ('', 'version', new.id);
END;
CREATE TRIGGER resource_versions_changed AFTER UPDATE ON resource_versions BEGIN
	DELETE FROM changes WHERE kind = 'version' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES ('', 'version', new.id);
END;
CREATE TRIGGER occurrences_new AFTER INSERT ON occurrences BEGIN
	DELETE FROM changes WHERE kind = 'occurrence' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'occurrence', new.id);
END;
CREATE TRIGGER occurrences_changed AFTER UPDATE ON occurrences BEGIN
	DELETE FROM changes WHERE kind = 'occurrence' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'occurrence', new.id);
END;
CREATE TRIGGER runs_new AFTER INSERT ON runs BEGIN
	DELETE FROM changes WHERE kind = 'run' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'run', new.id);
END;
CREATE TRIGGER runs_changed AFTER UPDATE ON runs BEGIN
	DELETE FROM changes WHERE kind = 'run' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'run', new.id);
END;
CREATE TRIGGER run_steps_new AFTER INSERT ON run_steps BEGIN
	DELETE FROM changes WHERE kind = 'step' AND row = new.id;
	INSERT INTO changes (repository, kind, row) VALUES (
		(SELECT repository FROM runs WHERE id = new.run),
		'step', new.id);
END;
CREATE TRIGGER run_steps_changed AFTER UPDATE ON run_steps BEGIN
	DELETE FROM changes WHERE kind = 'step' AND row = new.id;
	INSERT INTO changes (repository, kind, row) VALUES (
		(SELECT repository FROM runs WHERE id = new.run),
		'step', new.id);
END;
CREATE TRIGGER snapshots_new AFTER INSERT ON snapshots BEGIN
	DELETE FROM changes WHERE kind = 'snapshot' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'snapshot', new.id);
END;
CREATE TRIGGER snapshots_changed AFTER UPDATE ON snapshots BEGIN
	DELETE FROM changes WHERE kind = 'snapshot' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'snapshot', new.id);
END;
CREATE TRIGGER replicas_new AFTER INSERT ON replicas BEGIN
	DELETE FROM changes WHERE kind = 'replica' AND row = new.id;
	INSERT INTO changes (repository, kind, row) VALUES (
		(SELECT repository FROM snapshots WHERE id = new.snapshot),
		'replica', new.id);
END;
CREATE TRIGGER replicas_changed AFTER UPDATE ON replicas BEGIN
	DELETE FROM changes WHERE kind = 'replica' AND row = new.id;
	INSERT INTO changes (repository, kind, row) VALUES (
		(SELECT repository FROM snapshots WHERE id = new.snapshot),
		'replica', new.id);
END;
CREATE TRIGGER regions_new AFTER INSERT ON regions BEGIN
	DELETE FROM changes WHERE kind = 'region' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'region', new.id);
END;
CREATE TRIGGER regions_changed AFTER UPDATE ON regions BEGIN
	DELETE FROM changes WHERE kind = 'region' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'region', new.id);
END;
CREATE TRIGGER checks_new AFTER INSERT ON checks BEGIN
	DELETE FROM changes WHERE kind = 'check' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'check', new.id);
END;
CREATE TRIGGER checks_changed AFTER UPDATE ON checks BEGIN
	DELETE FROM changes WHERE kind = 'check' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'check', new.id);
END;
CREATE TRIGGER drills_new AFTER INSERT ON drills BEGIN
	DELETE FROM changes WHERE kind = 'drill' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'drill', new.id);
END;
CREATE TRIGGER drills_changed AFTER UPDATE ON drills BEGIN
	DELETE FROM changes WHERE kind = 'drill' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'drill', new.id);
END;
CREATE TRIGGER evaluations_new AFTER INSERT ON evaluations BEGIN
	DELETE FROM changes WHERE kind = 'evaluation' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'evaluation', new.id);
END;
CREATE TRIGGER evaluations_changed AFTER UPDATE ON evaluations BEGIN
	DELETE FROM changes WHERE kind = 'evaluation' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'evaluation', new.id);
END;
CREATE TRIGGER decisions_new AFTER INSERT ON decisions BEGIN
	DELETE FROM changes WHERE kind = 'decision' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'decision', new.id);
END;
CREATE TRIGGER decisions_changed AFTER UPDATE ON decisions BEGIN
	DELETE FROM changes WHERE kind = 'decision' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'decision', new.id);
END;
CREATE TRIGGER shortenings_new AFTER INSERT ON shortenings BEGIN
	DELETE FROM changes WHERE kind = 'shortening' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'shortening', new.id);
END;
CREATE TRIGGER shortenings_changed AFTER UPDATE ON shortenings BEGIN
	DELETE FROM changes WHERE kind = 'shortening' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'shortening', new.id);
END;
CREATE TRIGGER holds_new AFTER INSERT ON holds BEGIN
	DELETE FROM changes WHERE kind = 'hold' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'hold', new.id);
END;
CREATE TRIGGER holds_changed AFTER UPDATE ON holds BEGIN
	DELETE FROM changes WHERE kind = 'hold' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'hold', new.id);
END;
CREATE TRIGGER audit_new AFTER INSERT ON audit BEGIN
	DELETE FROM changes WHERE kind = 'audit' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES ('', 'audit', new.id);
END;
CREATE TRIGGER gaps_new AFTER INSERT ON gaps BEGIN
	DELETE FROM changes WHERE kind = 'gap' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'gap', new.id);
END;
CREATE TRIGGER gaps_changed AFTER UPDATE ON gaps BEGIN
	DELETE FROM changes WHERE kind = 'gap' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'gap', new.id);
END;
