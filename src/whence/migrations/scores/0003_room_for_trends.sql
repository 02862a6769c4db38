-- Every few seconds all trend values change, in place: with room on its pages a row's new version stays beside the old one,
-- and reads need not step over what is dead until the next vacuum.
ALTER TABLE trend_list SET (fillfactor = 30);
