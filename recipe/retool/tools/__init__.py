"""Tool room: tools by name, their schemas, argument checks, the text of a result."""
