"""The webinar's file: strict reading of what organizers write, and when its messages are due. Pure."""
