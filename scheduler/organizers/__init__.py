"""What organizers wrote, as it governs now, and what they are notified of."""
