"""Tool room: the schema of the code interpreter, argument checks, the text of a result."""
