-- What an evaluation was made with lists every snapshot of its source, and most
-- of it is what an evaluation before was made with: then `body` is a patch
-- (storage/repository/compress_patch.h) of the body of `base`.  `place` counts
-- those of a group since the last whole one, and its base is the one whose
-- place lacks the lowest bit of it that is set.  A row with base NULL is whole;
-- one whose body is '' is known by its hash only, as what a patch in a segment
-- is of.

ALTER TABLE inputs ADD COLUMN base INTEGER REFERENCES inputs;
ALTER TABLE inputs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
