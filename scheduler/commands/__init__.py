"""The commands of `webinar`: each parses, calls and prints."""
