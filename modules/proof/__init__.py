"""What can be shown of a run: a page that anybody can read, and a table for many files. No pictures, no names of files,
nothing that identifies a face."""
