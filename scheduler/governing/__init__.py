"""What organizers wrote, as it governs: read, tried, proposed, and stored as revisions."""
