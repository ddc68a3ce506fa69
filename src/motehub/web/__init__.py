"""Everything that the hub speaks over HTTP: ingest, the API, and later the pages."""
