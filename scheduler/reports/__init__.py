"""What people see of it all: checks, status, timeline, previews."""
