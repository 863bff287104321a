"""The registrants' pages, on a listener of their own."""
