-- A hold names any number of snapshots, and tells who placed it.
--
-- Nothing wrote holds before, so there is none to keep.

DROP TABLE holds;
DELETE FROM changes WHERE kind = 'hold';

CREATE TABLE holds (
	id INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	hold TEXT NOT NULL,
	snapshots TEXT NOT NULL,
	source TEXT NOT NULL,
	matter TEXT NOT NULL,
	custodian TEXT NOT NULL,
	placed_by TEXT NOT NULL,
	placed_us INTEGER NOT NULL,
	released_us INTEGER,
	UNIQUE (repository, hold)
) STRICT;

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
