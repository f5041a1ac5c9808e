-- A decision holds from its first evaluation until another one of its group
-- ends it: by deciding something else about the snapshot, under another policy,
-- or by not judging it any more.  Until then `ended` is NULL, so that what is
-- still so costs an evaluation nothing.  Before, the last evaluation that said
-- so stood in each row: every day every row of a source was written again, and
-- exported again.

CREATE TABLE decisions_until (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	source TEXT NOT NULL,
	region TEXT NOT NULL,
	snapshot TEXT NOT NULL,
	first INTEGER NOT NULL REFERENCES evaluations,
	ended INTEGER REFERENCES evaluations,
	outcome TEXT NOT NULL,
	reasons TEXT NOT NULL,
	UNIQUE (repository, snapshot, source, region, first)
) STRICT;

INSERT INTO decisions_until SELECT d.id, d.repository, d.source, d.region,
	d.snapshot, d.first, (SELECT v.id FROM evaluations v WHERE
		v.repository = d.repository AND v.source = d.source AND
		v.region = d.region AND v.id > d.last ORDER BY v.id LIMIT 1),
	d.outcome, d.reasons FROM decisions d;

DROP TABLE decisions;
ALTER TABLE decisions_until RENAME TO decisions;

CREATE INDEX decisions_open ON decisions (repository, source, region, snapshot)
	WHERE ended IS NULL;
CREATE INDEX decisions_first ON decisions (first);
CREATE INDEX decisions_ended ON decisions (ended) WHERE ended IS NOT NULL;
CREATE INDEX decisions_of_source ON decisions (source, first);

-- Where a segment between an evaluation and the one before it was lost when the
-- catalog was rebuilt, decisions may be missing at it and at those after it.
ALTER TABLE evaluations ADD COLUMN unsure INTEGER NOT NULL DEFAULT 0;

-- The sets of rules that were in force, as JSON, so that a look back at them
-- need not put together what each evaluation was made with; NULL or '': only
-- that tells.
ALTER TABLE evaluations ADD COLUMN rules TEXT;

-- What an evaluation ends is exported with the evaluation, not with the
-- decision.
CREATE TRIGGER decisions_new AFTER INSERT ON decisions BEGIN
	DELETE FROM changes WHERE kind = 'decision' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'decision', new.id);
END;
CREATE TRIGGER decisions_changed AFTER UPDATE OF repository, source, region,
	snapshot, first, outcome, reasons ON decisions BEGIN
	DELETE FROM changes WHERE kind = 'decision' AND row = new.id;
	INSERT INTO changes (repository, kind, row)
		VALUES (new.repository, 'decision', new.id);
END;
