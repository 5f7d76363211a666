"""Records of a run: their schema, written line by line, read as frames."""
