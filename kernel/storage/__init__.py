"""Where files are kept: one small interface, over a local folder or an S3-compatible object store."""
