-- By what a reader knows that the rows of a sample are all there and as they were stored.
--
-- A copy that is torn (pages from different moments) can be a well-formed database that lacks rows,
-- and since only changes are stored a row that is lost would read as "nothing has changed".

ALTER TABLE sample ADD COLUMN stored INTEGER; -- rows of the source that stand at this tick
-- Over every row stored since the last keyframe, and this sample's status and time; NULL: not known.
ALTER TABLE sample ADD COLUMN digest INTEGER;
