"""The sending process: what `webinar run` starts, and its steps."""
