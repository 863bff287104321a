"""Read-only reports: checks, status, timeline, previews."""
