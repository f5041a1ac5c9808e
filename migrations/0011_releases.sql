-- Releases of legal holds, and where they were made good: few records of a long
-- log, by the words that queries repeat.

CREATE INDEX audit_releases ON audit (at_us, id)
	WHERE action IN ('hold.release', 'hold.released');
