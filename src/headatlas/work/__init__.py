"""Work that a model does part by part, kept as rows on disk, so that what is killed continues."""
