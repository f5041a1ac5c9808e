-- When each pack of a region was last read whole and found sound.
--
-- Not for export: a catalog that lost it reads everything again.

CREATE TABLE pack_reads (
	repository TEXT NOT NULL,
	region TEXT NOT NULL,
	pack TEXT NOT NULL,
	read_us INTEGER NOT NULL,
	PRIMARY KEY (repository, region, pack)
) STRICT, WITHOUT ROWID;
