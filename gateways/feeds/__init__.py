"""One file a venue or file format: bytes in, tick records and rejects out."""
