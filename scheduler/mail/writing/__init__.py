"""One reader's mail and calendar entry as bytes. Pure."""
