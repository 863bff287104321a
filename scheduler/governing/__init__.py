"""Files of organizers and which version of each governs: they are read, tried, proposed, and stored as revisions."""
