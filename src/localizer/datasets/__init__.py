"""From annotation files of any format, and a folder of images, to the tables of `prepare`."""
